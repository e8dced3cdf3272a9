"""A row of data, whose errors name the file and the line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeGuard

_MOST_DIGITS = 18


class Row:
    """A row of data: columns by name, checked as they are read.

    Args:
      values: The columns.
      where: The file and the line, for errors.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self._where = where

    def __getitem__(self, column: str) -> Any:
        """Return the column's value; ``"a.b"`` is the value of key ``b`` in column ``a``."""
        if column in self._values:
            return self._values[column]
        value: Any = self._values
        for key in column.split("."):
            # CSV has no nested columns, but a cell may contain JSON.
            value = _parsed(value)
            if not isinstance(value, Mapping) or key not in value:
                self.refuse(column, f"is missing; the columns are {', '.join(self._values)}")
            value = value[key]
        return value

    def text(self, column: str) -> str:
        """Return the column's text, which must not be blank."""
        text = self[column]
        if not _is_text(text):
            self.refuse(column, f"must be a non-empty string, got {text!r}")
        return text

    def texts(self, column: str) -> tuple[str, ...]:
        """Return the column's list of texts, none of which may be blank."""
        texts = _parsed(self[column])
        if isinstance(texts, str) or not isinstance(texts, Sequence) or not texts:
            self.refuse(column, f"must be a list of strings, got {texts!r}")
        for text in texts:
            if not _is_text(text):
                self.refuse(column, f"must contain non-empty strings, got {text!r}")
        return tuple(texts)

    def has_list(self, column: str) -> bool:
        """Whether the column's value is a list, possibly written as JSON."""
        return isinstance(_parsed(self[column]), list | tuple)

    def one_of(self, column: str, meaning: Mapping[str, str]) -> str:
        """Return the entry of ``meaning`` for the column's text."""
        text = self[column]
        if not isinstance(text, str) or text not in meaning:
            self.refuse(column, f"must be one of {', '.join(map(repr, meaning))}, got {text!r}")
        return meaning[text]

    def number(self, column: str, names: Sequence[str]) -> int:
        """Return the index into ``names`` that the column gives, as a name or as a number."""
        return self.place(column, self[column], names)

    def place(self, column: str, value: Any, names: Sequence[str]) -> int:
        """Return the index into ``names`` that ``value``, read from ``column``, gives."""
        name = value.strip() if isinstance(value, str) else value
        if name in names:
            return list(names).index(name)
        # JSON's true and false are not class numbers, although Python's bool is a subclass of int.
        is_number = (isinstance(name, int) and not isinstance(name, bool)) or (
            isinstance(name, str) and name.isdecimal()
        )
        # A very long number is no valid index, and Python may refuse to convert it to an int.
        too_long = isinstance(name, str) and len(name) > _MOST_DIGITS
        if not is_number or too_long or not 0 <= int(name) < len(names):
            self.refuse(
                column,
                f"must be one of {', '.join(map(repr, names))} or a number within 0 … "
                f"{len(names) - 1}, got {value!r}. Correct the row, or name the classes",
            )
        return int(name)

    def with_values(self, values: Mapping[str, Any]) -> Row:
        """Return a row of other values, whose errors name the same file and line."""
        return Row(values, self._where)

    def refuse(self, column: str, message: str) -> NoReturn:
        """Raise a ValueError that names the file, the line and the column."""
        raise ValueError(f"read_examples: {self._where}: {column} {message}.")


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):  # not JSON, or nested too deep
            return value
    return value


def _is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a non-blank string that UTF-8 can encode; JSON can express others."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

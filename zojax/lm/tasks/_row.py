"""A row of a file, whose errors say where it stands."""

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
        """Return what the column holds; ``"a.b"`` is the key ``b`` of column ``a``."""
        if column in self._values:
            return self._values[column]
        value: Any = self._values
        for key in column.split("."):
            # CSV has no nested columns, but a cell may hold JSON.
            value = _parsed(value)
            if not isinstance(value, Mapping) or key not in value:
                self.refuse(column, f"is missing; the columns are {', '.join(self._values)}")
            value = value[key]
        return value

    def text(self, column: str) -> str:
        """Return a text that is not blank."""
        text = self[column]
        if not _is_text(text):
            self.refuse(column, f"must be a non-empty string, got {text!r}")
        return text

    def texts(self, column: str) -> tuple[str, ...]:
        """Return a list of texts that are not blank."""
        texts = _parsed(self[column])
        if isinstance(texts, str) or not isinstance(texts, Sequence) or not texts:
            self.refuse(column, f"must be a list of strings, got {texts!r}")
        for text in texts:
            if not _is_text(text):
                self.refuse(column, f"must hold non-empty strings, got {text!r}")
        return tuple(texts)

    def has_list(self, column: str) -> bool:
        """Whether the column holds a list, perhaps as JSON."""
        return isinstance(_parsed(self[column]), list | tuple)

    def one_of(self, column: str, meaning: Mapping[str, str]) -> str:
        """Return what the column's text means."""
        text = self[column]
        if not isinstance(text, str) or text not in meaning:
            self.refuse(column, f"must be one of {', '.join(map(repr, meaning))}, got {text!r}")
        return meaning[text]

    def number(self, column: str, names: Sequence[str]) -> int:
        """Return the place of a name among ``names``, given as the name or the place."""
        return self.place(column, self[column], names)

    def place(self, column: str, value: Any, names: Sequence[str]) -> int:
        """Return the place among ``names`` that ``value``, read from ``column``, stands for."""
        name = value.strip() if isinstance(value, str) else value
        if name in names:
            return list(names).index(name)
        # JSON's true and false are no class numbers, though Python counts them as 1 and 0.
        is_number = (isinstance(name, int) and not isinstance(name, bool)) or (
            isinstance(name, str) and name.isdecimal()
        )
        # A number of more digits than there are names is none, and may be too long for an int.
        too_long = isinstance(name, str) and len(name) > _MOST_DIGITS
        if not is_number or too_long or not 0 <= int(name) < len(names):
            self.refuse(
                column,
                f"must be one of {', '.join(map(repr, names))} or a number within 0 … "
                f"{len(names) - 1}, got {value!r}. Mend the row, or name the classes",
            )
        return int(name)

    def with_values(self, values: Mapping[str, Any]) -> Row:
        """Return other values from the same place."""
        return Row(values, self._where)

    def refuse(self, column: str, message: str) -> NoReturn:
        """Raise a ValueError that names the file, the line and the column."""
        raise ValueError(f"read_examples: {self._where}: {column} {message}.")


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):  # not JSON, a number too long, or nested too deep
            return value
    return value


def _is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a string that has words, and that UTF-8 can write: JSON has others."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

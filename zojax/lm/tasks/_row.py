"""A row of data, whose errors name the file and the line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeGuard

from zojax.lm.tasks._near import listed, near

_MOST_DIGITS = 18
_MOST_SHOWN = 80


class RowError(ValueError):
    """A row that cannot be read.

    Args:
      where: The file and the line.
      reason: What is wrong, without a full stop.
      got: A wrong value that may be a slip of one of ``names``.
      names: The right values.
    """

    def __init__(
        self, where: str, reason: str, got: object = None, names: Sequence[str] = ()
    ) -> None:
        super().__init__(where, reason)
        self.where = where
        self._reason, self._got, self._names = reason, got, names

    @property
    def line(self) -> str:
        """``file:line: reason``, with the name that was probably meant.

        That name is looked up here, because it takes long for thousands of rows, of which a message
        shows ten.
        """
        return f"{self.where}: {self._reason}{near(self._got, self._names)}"

    def __str__(self) -> str:
        return f"read_examples: {self.line}. Correct the row."


class Row:
    """A row of data: columns by name, checked as they are read.

    Args:
      values: The columns.
      where: The file and the line, for errors.

    Attributes:
      where: The file and the line.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self.where = where

    def __getitem__(self, column: str) -> Any:
        """Return the column's value; ``"a.b"`` is the value of key ``b`` in column ``a``."""
        if column in self._values:
            return self._values[column]
        value: Any = self._values
        for key in column.split("."):
            # CSV has no nested columns, but a cell may contain JSON.
            value = _parsed(value)
            if not isinstance(value, Mapping) or key not in value:
                names = tuple(self._values)
                self._refuse(
                    column, f"is missing; the columns are {', '.join(names)}", column, names
                )
            value = value[key]
        return value

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._values)

    @property
    def values(self) -> Mapping[str, Any]:
        """The columns by name, as they were read."""
        return self._values

    def has(self, column: str) -> bool:
        """Whether there is such a column; its value may be empty."""
        try:
            self[column]
        except RowError:
            return False
        return True

    def text(self, column: str) -> str:
        """Return the column's text, which must not be blank."""
        text = self[column]
        if not _is_text(text):
            self.refuse(column, f"must be a non-empty string, got {_shown(text)}")
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

    def objects(self, column: str) -> tuple[Mapping[str, Any], ...]:
        """Return the column's list of objects, possibly written as JSON; none may be empty."""
        value = _parsed(self[column])
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            self.refuse(column, f"must be a list of objects, got {_shown(value)}")
        for each in value:
            if not isinstance(each, Mapping) or not each:
                self.refuse(column, f"must contain objects, got {_shown(each)}")
        return tuple(value)

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
        """Return the number of the class that the column gives, by its name or by its number.

        Where a class's name is itself a number, a number is always a name.
        """
        value = self[column]
        name = class_name(value)
        if name is not None and name in names:
            return list(names).index(name)
        if any(map(is_number, names)):
            message = f"must be one of {listed(names)}, got {_shown(value)}"
            self._refuse(column, message, name, names)
        return self.place(column, value, names)

    def place(self, column: str, value: Any, names: Sequence[str]) -> int:
        """Return the index into ``names`` that ``value``, read from ``column``, gives."""
        name = value.strip() if isinstance(value, str) else value
        if name in names:
            return list(names).index(name)
        # JSON's true and false are not class numbers, although Python's bool is a subclass of int.
        whole = (isinstance(name, int) and not isinstance(name, bool)) or (
            isinstance(name, str) and name.isdecimal()
        )
        # A very long number is no valid index, and Python may refuse to convert it to an int.
        too_long = isinstance(name, str) and len(name) > _MOST_DIGITS
        if not whole or too_long or not 0 <= int(name) < len(names):
            self._refuse(
                column,
                f"must be one of {listed(names)} or a number within 0 … {len(names) - 1}, got "
                f"{_shown(value)}",
                name,
                names,
            )
        return int(name)

    def with_values(self, values: Mapping[str, Any]) -> Row:
        """Return a row of other values, whose errors name the same file and line."""
        return Row(values, self.where)

    def refuse(self, column: str, message: str) -> NoReturn:
        """Raise a ValueError that names the file, the line and the column."""
        self._refuse(column, message)

    def _refuse(
        self, column: str, message: str, got: object = None, names: Sequence[str] = ()
    ) -> NoReturn:
        raise RowError(self.where, f"{column} {message}", got, names)


def class_name(value: Any) -> str | None:
    """The name of a class that a cell gives, or None if it cannot be one.

    JSON's numbers and truth values are names as they are written there: ``1`` and ``true``.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of numbers with an empty cell is one of floats
    if isinstance(value, int):
        return str(value)
    return value.strip() if _is_text(value) else None


def is_number(name: str) -> bool:
    """Whether the name of a class is an integer, one that Python converts."""
    return name.removeprefix("-").isdecimal() and len(name) <= _MOST_DIGITS


def _shown(value: object) -> str:
    """A value in a message, which a text in the wrong column would fill."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


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

"""Reads tasks from TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from zojax.lm.tasks._task import Hub, Sizes, Task

Check = Callable[[Any], bool]


def task_from_toml(path: str | Path) -> Task:
    """Read a task from a TOML file: its keys are the attributes of :class:`Task`.

    ``sizes``, ``columns``, ``hub`` and ``files`` are tables; paths in ``files`` are relative to the
    folder of the TOML file. ``truncate = false`` means None.

    Raises:
      FileNotFoundError: The file does not exist.
      ValueError: The file is not TOML, or has a key or a value that a task does not take.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"task_from_toml: there is no file {path}.")
    try:
        entries = tomllib.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deep
        raise ValueError(f"task_from_toml: {path} is not TOML ({error}).") from error
    if entries.keys() - _EXPECTED.keys():
        raise ValueError(
            f"task_from_toml: {path} must have only the keys {', '.join(_EXPECTED)}, got "
            f"{', '.join(sorted(entries.keys() - _EXPECTED.keys()))}."
        )
    if not {"name", "kind", "template"} <= entries.keys():
        raise ValueError(
            f"task_from_toml: {path} must have the keys name, kind and template, got "
            f"{', '.join(entries)}."
        )
    values = {name: _value(path, name, value) for name, value in entries.items()}
    try:
        return Task(**values)
    except ValueError as error:
        raise ValueError(f"task_from_toml: {path}: {error}") from error


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_count(value: Any) -> bool:
    return type(value) is int  # not a bool


def _is_table(of: Callable[[Any], bool], keys: Collection[str] | None = None) -> Check:
    def check(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(map(of, value.values()))
            and (keys is None or value.keys() <= set(keys))
        )

    return check


_STRING = ("a string", _is_string)
_STRINGS = ("a list of strings", _is_strings)
_EXPECTED: dict[str, tuple[str, Check]] = {
    "name": _STRING,
    "kind": _STRING,
    "template": _STRING,
    "masked_template": _STRING,
    "label_column": _STRING,
    "answers": _STRING,
    "label_words": _STRINGS,
    "masked_label_words": _STRINGS,
    "label_names": _STRINGS,
    "drop_label": ("a string or a number", lambda v: _is_string(v) or _is_count(v)),
    "choices": ("a column or a list of columns", lambda v: _is_string(v) or _is_strings(v)),
    "truncate": ("a field or false", lambda v: _is_string(v) or v is False),
    "max_new_tokens": ("a number", _is_count),
    "columns": ("a table of strings", _is_table(_is_string)),
    "sizes": ("a table of the numbers train, dev, test", _is_table(_is_count, Sizes._fields)),
    "files": ("a table of the files train, dev, test", _is_table(_is_string, Sizes._fields)),
    "hub": ("a table of the strings name, config, train, test", _is_table(_is_string, Hub._fields)),
}


def _value(path: Path, name: str, value: Any) -> Any:
    """Check a value of TOML, and convert it to the type of the task's attribute."""
    kind, check = _EXPECTED[name]
    if not check(value) or (name == "hub" and "name" not in value):
        raise ValueError(f"task_from_toml: {path}: {name} must be {kind}, got {value!r}.")
    if name == "sizes":
        return Sizes(**value)
    if name == "hub":
        return Hub(**value)
    if name == "files":
        return {split: path.parent / file for split, file in value.items()}
    if name == "truncate" and value is False:
        return None
    return tuple(value) if isinstance(value, list) else value

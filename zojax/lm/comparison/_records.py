"""The finished runs of a study, one JSON line each, from which an interrupted study is resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Records:
    """The finished runs of a study.

    Args:
      path: A file of JSON lines, each with a ``key``; it need not exist.

    Raises:
      ValueError: A line is not a record, or lacks a number. A truncated last line is no error: it
        is removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_key: dict[str, dict[str, Any]] = {}
        content = path.read_bytes() if path.is_file() else b""
        *lines, partial = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line.decode())
                _check(record)
                self._by_key[record["key"]] = record
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise ValueError(
                    f"compare: line {number} of {path} is no record of a run ({error!r}). Correct "
                    "it or delete it."
                ) from error
        if partial:  # the process ended while it was writing the line
            with path.open("r+b") as file:
                file.truncate(len(content) - len(partial))

    def __contains__(self, key: str) -> bool:
        """Whether the run is finished."""
        return key in self._by_key

    def __getitem__(self, key: str) -> dict[str, Any]:
        """The record of a finished run."""
        return self._by_key[key]

    def __len__(self) -> int:
        """The number of finished runs."""
        return len(self._by_key)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over the records in the order in which the runs finished."""
        return iter(self._by_key.values())

    def add(self, record: dict[str, Any]) -> None:
        """Write a record to the disk, so that it is not lost if this process ends."""
        self._by_key[record["key"]] = record
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _check(record: dict[str, Any]) -> None:
    """Refuse a record that lacks a value that the tables and plots need."""
    if not isinstance(record["key"], str) or not isinstance(record["point"], dict):
        raise TypeError("its key must be a string and its point a table")
    curve = record.get("curve", [])
    judged = ("dev",) if record.get("stage") == "tune" else ("dev", "test")
    numbers = [*(record[name] for name in judged), record.get("dev_loss", 0.0)]
    if not isinstance(curve, list) or any(len(point) != 3 for point in curve):
        raise TypeError("each point of its curve must have passes, seconds and score")
    numbers += [value for point in curve for value in point]
    wrong = [value for value in numbers if not _is_number(value)]
    if wrong or not all(0 <= record[name] <= 1 for name in judged):
        raise ValueError(f"scores must be fractions, other entries numbers, got {wrong or numbers}")


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can represent; a loss may be infinite, but not NaN."""
    if type(value) is int:
        return abs(value) < 1 << 62
    return type(value) is float and value == value

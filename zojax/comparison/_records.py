"""Finished runs, a JSON line each: what a study that was cut off goes on from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Records:
    """The finished runs of a study.

    Args:
      path: JSON lines, each with a ``key``; need not exist.

    Raises:
      ValueError: A line, other than a torn last one, is no record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_key: dict[str, dict[str, Any]] = {}
        content = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole, _, torn = content.rpartition("\n")
        if torn:  # the process died as it wrote
            with path.open("r+", encoding="utf-8") as file:
                file.truncate(len(f"{whole}\n".encode()) if whole else 0)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                self._by_key[record["key"]] = record
            except (json.JSONDecodeError, TypeError, KeyError) as error:
                raise ValueError(
                    f"compare: line {number} of {path} is no record of a run. Mend it or delete it."
                ) from error

    def __contains__(self, key: str) -> bool:
        """Whether the run is finished."""
        return key in self._by_key

    def __getitem__(self, key: str) -> dict[str, Any]:
        """The record of a finished run."""
        return self._by_key[key]

    def __len__(self) -> int:
        """How many runs are finished."""
        return len(self._by_key)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Their records, in the order they finished."""
        return iter(self._by_key.values())

    def add(self, record: dict[str, Any]) -> None:
        """Write a record, so that it outlives this process."""
        self._by_key[record["key"]] = record
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

"""Rows of files and of the ``datasets`` package."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zojax.tasks._row import Row
from zojax.tasks._task import Hub


def file_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file (with a header), a JSONL or a Parquet file.

    Raises:
      FileNotFoundError: There is no such file.
      ImportError: A Parquet file needs pyarrow.
      ValueError: Another suffix, or a line that cannot be read.
    """
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise ValueError(
            f"read_examples: the file must end in .csv, .jsonl or .parquet, got {path}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"read_examples: there is no file {path}.")
    return readers[path.suffix](path)


def hub_rows(hub: Hub, split: str) -> Iterator[Row]:
    """Yield the rows of a split of a data set that ``datasets`` loads by name.

    Raises:
      ImportError: ``datasets`` is not installed.
    """
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ImportError(
            f"load_splits: reading {hub.name} by name needs datasets: pip install datasets. "
            "Or give files."
        ) from error
    name = f"{hub.name} {hub.config or ''}".strip()
    rows: Any = datasets.load_dataset(hub.name, hub.config, split=split)
    for number, values in enumerate(rows):
        yield Row(values, f"{name} {split} row {number}")


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for values in reader:
            # What stands beyond the last column of the header has no name.
            yield Row({k: v for k, v in values.items() if k}, f"{path} line {reader.line_num}")


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path} line {number}"
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"read_examples: {where}: not JSON ({error}).") from error
            if not isinstance(values, dict):
                raise ValueError(  # noqa: TRY004 - the file's fault, not the caller's
                    f"read_examples: {where}: a line must be a JSON object, got "
                    f"{line.strip()[:80]}."
                )
            yield Row(values, where)


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ImportError(
            f"read_examples: {path} needs pyarrow: pip install pyarrow. Or give CSV or JSONL."
        ) from error
    table: Any = parquet.read_table(path)
    for number, values in enumerate(table.to_pylist()):
        yield Row(values, f"{path} row {number}")

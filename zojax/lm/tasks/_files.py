"""Reads rows from files and from the ``datasets`` package."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zojax.lm.tasks._row import Row
from zojax.lm.tasks._task import Hub


def file_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file (with a header), a JSONL or a Parquet file.

    Raises:
      FileNotFoundError: The file does not exist.
      ImportError: The file is a Parquet file and pyarrow is not installed.
      ValueError: The file has another suffix, or a line cannot be read.
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
        # Without strict, an unclosed quotation mark would merge all rows after it into one cell.
        reader = csv.DictReader(file, strict=True)
        try:
            names = [name for name in reader.fieldnames or () if name]
            if len(set(names)) < len(names):
                raise ValueError(
                    f"read_examples: {path}: columns must have distinct names, got "
                    f"{', '.join(names)}."
                )
            for values in reader:
                # Cells beyond the header's last column have no name and are left out.
                named = {name: value for name, value in values.items() if name}
                yield Row(named, f"{path} line {reader.line_num}")
        except csv.Error as error:
            raise ValueError(
                f"read_examples: {path} line {reader.line_num + 1}: not CSV ({error})."
            ) from error
        except UnicodeDecodeError as error:
            raise _not_text(path, error) from error


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deep
            raise ValueError(f"read_examples: {where}: not JSON ({error}).") from error
        if not isinstance(values, dict):
            raise ValueError(  # noqa: TRY004 - the file's content is wrong, no argument's type
                f"read_examples: {where}: a line must be a JSON object, got {line.strip()[:80]}."
            )
        yield Row(values, where)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8-sig") as file:
        try:
            yield from enumerate(file, start=1)
        except UnicodeDecodeError as error:
            raise _not_text(path, error) from error


def _not_text(path: Path, error: UnicodeDecodeError) -> ValueError:
    return ValueError(f"read_examples: {path} must be text in UTF-8, got something else ({error}).")


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ImportError(
            f"read_examples: {path} needs pyarrow: pip install pyarrow. Or give CSV or JSONL."
        ) from error
    try:
        table: Any = parquet.read_table(path, page_checksum_verification=True)
        rows: list[dict[str, Any]] = table.to_pylist()
    except Exception as error:  # pyarrow raises many types of errors for damaged files
        raise ValueError(f"read_examples: {path} cannot be read as Parquet ({error}).") from error
    for number, values in enumerate(rows):
        yield Row(values, f"{path} row {number}")

"""Reads rows from files: CSV, JSONL, Parquet, and folders that ``datasets`` has written."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from zojax.lm.tasks._datasets import folder_rows
from zojax.lm.tasks._row import Row, RowError


def file_rows(path: Path, names: Collection[str] | None = None) -> Iterator[Row | RowError]:
    """Yield the rows of a CSV file (with a header), a JSONL or Parquet file, or a folder.

    Args:
      path: The file, or a folder that ``datasets`` wrote with ``save_to_disk``: of one split.
      names: The classes' names, if they are known. A folder has numbers and names of its classes;
        the rows get names, unless all the known ones are others.

    Returns:
      The rows; in the place of a line that is none, what is wrong with it.

    Raises:
      FileNotFoundError: There is no such file or folder.
      ImportError: The package that reads this format is not installed.
      ValueError: The file has another suffix, or it cannot be read on from some line.
    """
    if path.is_dir():
        return folder_rows(path, names)
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if path.suffix.lower() not in readers:
        raise ValueError(
            f"read_examples: the file must end in .csv, .jsonl or .parquet, or be a folder that "
            f"datasets wrote with save_to_disk, got {path}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"read_examples: there is no file {path}.")
    return readers[path.suffix.lower()](path)


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
                yield Row(named, f"{path}:{reader.line_num}")
        except csv.Error as error:
            raise ValueError(
                f"read_examples: {path}:{reader.line_num + 1}: not CSV ({error})."
            ) from error
        except UnicodeDecodeError as error:
            raise _not_text(path, error) from error


def _jsonl_rows(path: Path) -> Iterator[Row | RowError]:
    for number, line in _lines(path):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deep
            yield RowError(where, f"not JSON ({error})")
            continue
        if isinstance(values, dict):
            yield Row(values, where)
        else:
            yield RowError(where, f"a line must be a JSON object, got {line.strip()[:80]}")


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

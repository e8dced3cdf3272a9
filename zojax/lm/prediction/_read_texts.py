"""Reads texts without labels, row by row: CSV, JSONL, Parquet, or plain lines."""

from __future__ import annotations

import csv
import difflib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, get_args

from zojax.lm.settings import TextFormat
from zojax.lm.tasks import Row, RowError, Task

STDIN = "-"
_SUFFIXES: Mapping[str, TextFormat] = {
    ".txt": "lines",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
}


class TextRow(NamedTuple):
    """A row to predict: its texts, or what is wrong with it."""

    where: str  # the file and the line
    fields: Mapping[str, str] | None  # the text of each of the task's fields; None for a bad row
    problem: str  # what is wrong with a bad row, else empty


def text_format(source: str | Path, given: TextFormat | None = None) -> TextFormat:
    """Return the format of a file that exists, or of standard input.

    Args:
      source: A file, or ``"-"`` for standard input.
      given: The format; without it, what the file's suffix says, and lines for standard input.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The suffix is not one of ``.txt``, ``.csv``, ``.jsonl``, ``.parquet``, the format
        is unknown, or it is Parquet, which is no stream, on standard input.
    """
    path, is_stdin = Path(source), str(source) == STDIN
    if given is not None and given not in get_args(TextFormat):
        raise ValueError(
            f"predict: texts_format must be one of {', '.join(get_args(TextFormat))}, got "
            f"{given!r}."
        )
    if is_stdin and given == "parquet":
        raise ValueError(
            "predict: texts_format must be lines, csv or jsonl for standard input, got parquet. "
            "Give the file's name."
        )
    if not is_stdin and not path.is_file():
        raise FileNotFoundError(f"predict: there is no file {path}.")
    found = given or ("lines" if is_stdin else _SUFFIXES.get(path.suffix.lower()))
    if found is None:
        raise ValueError(
            f"predict: texts must end in {', '.join(_SUFFIXES)}, got {path}. Name the format with "
            "texts_format (--texts-format)."
        )
    return found


def read_texts(
    source: str | Path, task: Task, given: TextFormat | None = None
) -> Iterator[TextRow]:
    """Yield the rows of a file as they are read, bad ones included.

    Of ``lines``, each is a text, blank ones are bad rows. Rows of the other formats have the
    columns that the task's training rows have, but no labels; their blank lines are no rows.

    Args:
      source: A file, or ``"-"`` for standard input; text is in UTF-8.
      task: The task, which names the columns to read.
      given: The format; without it, see :func:`text_format`.

    Raises:
      FileNotFoundError, ValueError: As for :func:`text_format`; or the file cannot be read on from
        some line, has not the columns, or is of lines while the task has several fields.
      ImportError: The file is a Parquet file and pyarrow is not installed.
    """
    columns = [task.columns.get(name, name) for name in task.fields]
    if text_format(source, given) == "lines" and len(columns) != 1:
        raise ValueError(
            f"predict: lines must be for a task with one field, got {task.name} with "
            f"{', '.join(task.fields)}. Give CSV or JSONL with a column for each."
        )
    # A task that converts its rows reads columns that are not known here.
    needed = () if task.prepare is not None else columns
    for where, values, is_line in rows_of(source, needed, columns[0], given):
        if isinstance(values, str):
            yield TextRow(where, None, values)
            continue
        try:
            row = Row(values, where)
            if task.prepare is not None and not is_line:
                # It converts the label too, which these rows do not have.
                row = row.with_values(task.prepare(Row({task.label_column: None, **values}, where)))
            fields = {name: row.text(task.columns.get(name, name)) for name in task.fields}
        except RowError as error:
            yield TextRow(where, None, error.line.removeprefix(f"{where}: ") + ".")
        else:
            yield TextRow(where, fields, "")


_Found = tuple[str, Mapping[str, Any] | str]  # where, and the columns or what is wrong


def rows_of(
    source: str | Path, needed: Sequence[str], column: str, given: TextFormat | None
) -> Iterator[tuple[str, Mapping[str, Any] | str, bool]]:
    """Yield where each row is, its columns or what is wrong, and whether it is a plain line.

    Args:
      source: A file, or ``"-"`` for standard input.
      needed: The columns that a table must have.
      column: The column that a plain line becomes.
      given: The format; without it, see :func:`text_format`.
    """
    found = text_format(source, given)
    if found == "parquet":
        rows = _parquet(Path(source))
    elif found == "lines":
        rows = ((where, {column: line.rstrip("\r\n")}) for where, line in _lines(source))
    else:
        rows = _csv(source, needed) if found == "csv" else _jsonl(source)
    for where, values in rows:
        yield where, values, found == "lines"


def _lines(source: str | Path) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each line, as they come through a pipe."""
    if str(source) == STDIN:
        yield from _decoded(sys.stdin.buffer, "standard input")
        return
    with Path(source).open("rb") as file:
        yield from _decoded(file, str(source))


def _decoded(file: BinaryIO, name: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(file, start=1):
        where = f"{name}:{number}"
        try:
            yield where, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"predict: {where}: texts must be in UTF-8, got something else ({error})."
            ) from error


def _jsonl(source: str | Path) -> Iterator[_Found]:
    for where, line in _lines(source):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deep
            yield where, f"not JSON ({error})."
            continue
        is_row = isinstance(values, dict)
        yield where, values if is_row else f"a line must be a JSON object, got {line.strip()[:80]}."


def _csv(source: str | Path, needed: Sequence[str]) -> Iterator[_Found]:
    where = str(source)

    def lines() -> Iterator[str]:
        nonlocal where
        for place, line in _lines(source):
            where = place  # of the last line of a row with line breaks in a cell
            yield line

    # Without strict, an unclosed quotation mark would merge all rows after it into one cell.
    reader = csv.DictReader(lines(), strict=True)
    try:
        names = [name for name in reader.fieldnames or () if name]
        _require_columns(needed, names, where)
        for values in reader:
            yield where, {name: value for name, value in values.items() if name}
    except csv.Error as error:
        raise ValueError(f"predict: {where}: not CSV ({error}).") from error


def _require_columns(needed: Sequence[str], names: list[str], where: str) -> None:
    """Refuse a table without the columns at once: every single row of it would be bad."""
    for column in needed:
        # Dots lead into JSON in a column.
        if column not in names and column.split(".")[0] not in names:
            near = difflib.get_close_matches(column, names, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"predict: {where}: the columns must have {column}, which the run was tuned on, "
                f"got {', '.join(names)}.{hint} Rename the column."
            )


def _parquet(path: Path) -> Iterator[_Found]:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ImportError(
            f"predict: {path} needs pyarrow: pip install pyarrow. Or give CSV or JSONL."
        ) from error
    number = 0
    try:
        file: Any = parquet.ParquetFile(path, page_checksum_verification=True)
        # In small parts, because a group of rows may be as large as the file.
        for part in file.iter_batches(batch_size=1024):
            for values in part.to_pylist():
                yield f"{path} row {number}", values
                number += 1
    except Exception as error:  # pyarrow raises many types of errors for damaged files
        raise ValueError(f"predict: {path} cannot be read as Parquet ({error}).") from error

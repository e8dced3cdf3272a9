"""Turns rows of data into examples."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from zojax.lm.tasks._example import Example, Value
from zojax.lm.tasks._files import file_rows
from zojax.lm.tasks._row import Row, RowError
from zojax.lm.tasks._task import Task
from zojax.lm.tasks._wrong_rows import READ_EXAMPLES, Fixes, refuse_columns, refuse_rows


class Read(NamedTuple):
    """What was read from a file.

    Attributes:
      examples: The examples of the good rows, in the file's order.
      wrong: What is wrong with each of the others.
    """

    examples: tuple[Example, ...]
    wrong: tuple[RowError, ...]


def read_examples(path: str | Path, task: Task) -> tuple[Example, ...]:
    """Read a task's examples from a file.

    Args:
      path: A CSV file (with a header), a JSONL or a Parquet file, or a folder of one split that
        ``datasets`` wrote with ``save_to_disk``; text is in UTF-8.
      task: The task, which names the columns to read.

    Returns:
      The examples in file order. Other columns and blank lines are ignored.

    Raises:
      FileNotFoundError: The file does not exist.
      ImportError: pyarrow or datasets, which reads the file, is not installed.
      ValueError: The suffix, a column, a text or a label is wrong; the message has the file, the
        line and the reason of the first ten such rows.
    """
    read = read_rows(task, file_rows(Path(path), task.class_names), str(path))
    refuse_rows(read.wrong, len(read.examples) + len(read.wrong), READ_EXAMPLES)
    return read.examples


def examples_of(task: Task, rows: Iterable[Row], source: str) -> tuple[Example, ...]:
    """Turn rows into examples; ``source`` names their origin in error messages."""
    read = read_rows(task, rows, source)
    refuse_rows(read.wrong, len(read.examples) + len(read.wrong), READ_EXAMPLES)
    return read.examples


def read_rows(
    task: Task, rows: Iterable[Row | RowError], source: str, fixes: Fixes = READ_EXAMPLES
) -> Read:
    """Turn rows into examples, and gather those that are wrong.

    Args:
      task: The task, which names the columns to read.
      rows: The rows of one file.
      source: The file's name, for errors.
      fixes: Who reads, and what to do about errors.

    Raises:
      ValueError: There is no row, or a column is in none of them.
    """
    rows = list(rows)
    refuse_columns(task, rows, source, fixes)
    examples: list[Example] = []
    wrong: list[RowError] = []
    for row in rows:
        if isinstance(row, RowError):
            wrong.append(row)
            continue
        try:
            example = _example(task, row)
        except RowError as error:
            wrong.append(error)
        else:
            if example is not None:
                examples.append(example)
    if not examples and not wrong:
        raise ValueError(
            f"{fixes.caller}: {source} has no rows for {task.name}. Give at least one example."
        )
    return Read(tuple(examples), tuple(wrong))


def _example(task: Task, row: Row) -> Example | None:
    if task.prepare is not None:
        row = row.with_values(task.prepare(row))
    if task.drop_label is not None and row[task.label_column] == task.drop_label:
        return None
    names = [(name, task.columns.get(name, name)) for name in task.fields]
    if task.kind == "classification":
        fields = {name: row.text(column) for name, column in names}
        return Example(fields, row.number(task.label_column, task.class_names))
    if task.kind == "generation":
        fields = {name: row.text(column) for name, column in names}
        return Example(fields, answers=_answers(task, row))
    choices = _choices(task, row)
    right = _right(task, row, choices)
    return Example(
        {name: _value(row, column, len(choices)) for name, column in names},
        right[0],
        choices=choices,
        right=right,
    )


def _answers(task: Task, row: Row) -> tuple[str, ...]:
    if row.has_list(task.answers):
        return row.texts(task.answers)
    return (row.text(task.answers),)


def _choices(task: Task, row: Row) -> tuple[str, ...]:
    if isinstance(task.choices, str):
        choices = row.texts(task.choices)
        column = task.choices
    else:
        choices = tuple(row.text(column) for column in task.choices)
        column = task.choices[0]
    if len(choices) < 2:
        row.refuse(column, f"must have at least two choices, got {choices}")
    return choices


def _right(task: Task, row: Row, choices: tuple[str, ...]) -> tuple[int, ...]:
    label: Any = row[task.label_column]
    labels: list[Any] = list(label) if isinstance(label, list | tuple) else [label]
    if not labels:
        row.refuse(task.label_column, "must have a right choice, got none")
    return tuple(row.place(task.label_column, label, choices) for label in labels)


def _value(row: Row, column: str, choices: int) -> Value:
    """Read a field: one text, or a list with one text for each choice."""
    if not row.has_list(column):
        return row.text(column)
    texts = row.texts(column)
    if len(texts) != choices:
        row.refuse(column, f"must be a string or one string for each choice, got {texts!r}")
    return texts

"""Refuses files with wrong rows or without a column: everything at once, with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zojax.lm.tasks._near import near
from zojax.lm.tasks._row import Row, RowError
from zojax.lm.tasks._task import Task

_MOST = 10


class Fixes(NamedTuple):
    """Who reads rows, and what their user can do about errors.

    Attributes:
      caller: The function that the user called.
      rows: What to do about wrong rows.
      columns: What to do about missing columns.
    """

    caller: str
    rows: str
    columns: str


READ_EXAMPLES = Fixes(
    "read_examples",
    "Correct the rows, or name the classes in the task's label_names",
    'Name the columns in the task: columns={"text": ...} and label_column=...',
)


def refuse_rows(wrong: Sequence[RowError], total: int, fixes: Fixes) -> None:
    """Refuse wrong rows, in one error with the first ten and their number.

    Args:
      wrong: What is wrong with each, perhaps of several files.
      total: The number of all rows, right and wrong.
      fixes: Who reads, and what to do.

    Raises:
      ValueError: There is a wrong row.
    """
    if not wrong:
        return
    lines = [f"  {error.line}" for error in wrong[:_MOST]]
    if len(wrong) > _MOST:
        lines.append(f"  and {len(wrong) - _MOST} more")
    count = f"{len(wrong)} of {total} rows {'is' if len(wrong) == 1 else 'are'} wrong"
    listed = "\n".join(lines)
    raise ValueError(f"{fixes.caller}: {count}:\n{listed}\n{fixes.rows}.")


def refuse_columns(task: Task, rows: Sequence[Row | RowError], source: str, fixes: Fixes) -> None:
    """Refuse a file that has a column of the task in none of its rows.

    Raises:
      ValueError: Columns are missing; the message names those that there are.
    """
    good = [row for row in rows if isinstance(row, Row)]
    # A task that converts its rows reads columns that are not known here.
    if not good or task.prepare is not None:
        return
    needed = [task.columns.get(name, name) for name in task.fields]
    if task.kind == "generation":
        needed.append(task.answers)
    else:
        needed.append(task.label_column)
    refuse_missing(needed, good, source, fixes)


def refuse_missing(needed: Sequence[str], rows: Sequence[Row], source: str, fixes: Fixes) -> None:
    """Refuse columns that are in none of the rows, of which there is at least one."""
    missing = [name for name in needed if not any(row.has(name) for row in rows)]
    if not missing:
        return
    columns = list(dict.fromkeys(column for row in rows[:_MOST] for column in row.columns))
    named = " and ".join(f"{name}{near(name, columns)}" for name in missing)
    raise ValueError(
        f"{fixes.caller}: {source} has no column {named}; its columns are {', '.join(columns)}. "
        f"{fixes.columns}."
    )

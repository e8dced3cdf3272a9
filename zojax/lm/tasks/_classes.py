"""The classes of a file: the values of its column of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from zojax.lm.tasks._files import file_rows
from zojax.lm.tasks._near import near
from zojax.lm.tasks._row import Row, class_name, is_number
from zojax.lm.tasks._wrong_rows import READ_EXAMPLES, Fixes, refuse_missing

_MOST, _USUAL = 100, 10


def find_classes(
    path: str | Path,
    label_column: str,
    *,
    others: Sequence[str] = (),
    fixes: Fixes = READ_EXAMPLES,
) -> tuple[str, ...]:
    """Return the distinct values of a file's column of labels, sorted; numbers by their size.

    Empty cells are no class. A value of a single row that is nearly the name of a class of ten or
    more is taken for a slip and left out, so that :func:`read_files` refuses its row.

    Args:
      path: The file; see :func:`read_examples`.
      label_column: The column.
      others: Other columns that will be read: that one is missing is said at once.
      fixes: Who reads, and what to do about errors.

    Raises:
      FileNotFoundError, ImportError: As for :func:`read_examples`.
      ValueError: A column is missing, or it has one value or more than 100.
    """
    rows = [row for row in file_rows(Path(path)) if isinstance(row, Row)]
    if not rows:
        raise ValueError(f"{fixes.caller}: {path} has no rows. Give at least one of each class.")
    refuse_missing([*others, label_column], rows, str(path), fixes)
    names = (class_name(row[label_column]) for row in rows if row.has(label_column))
    counts = Counter(name for name in names if name is not None)
    if len(counts) > _MOST:
        raise ValueError(
            f"{fixes.caller}: {label_column} has {len(counts)} distinct values in {len(rows)} rows "
            f"of {path}. Is that a column of labels? The columns are {', '.join(rows[0].columns)}. "
            "Name another one with --label-column (label_column), or, if these are the classes, "
            "list them with --label-names (label_names)."
        )
    usual = [name for name, count in counts.items() if count >= _USUAL and not is_number(name)]
    classes = [name for name, count in counts.items() if count > 1 or not near(name, usual)]
    if len(classes) < 2:
        found = repr(classes[0]) if classes else "none"
        raise ValueError(
            f"{fixes.caller}: {label_column} must have two or more distinct values, its classes, "
            f"got {found} in {len(rows)} rows of {path}. Name another column with --label-column "
            "(label_column), or list the classes with --label-names (label_names)."
        )
    return tuple(sorted(classes, key=int if all(map(is_number, classes)) else None))

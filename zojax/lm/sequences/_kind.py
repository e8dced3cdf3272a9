"""What the rows of a file are, by its columns."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

from zojax.lm.sequences._segments import Columns, SequenceKind
from zojax.lm.sequences._text_file import is_text_file
from zojax.lm.tasks import Row, file_rows

# Rows that tell which columns there are: rows of JSON may lack some.
_ROWS = 10


def kind_of(path: Path, columns: Columns) -> SequenceKind | Literal["classification"]:
    """Tell what the rows of a file are.

    Rows with a text and a label are for classification, whatever else they have; then come chats,
    a prompt with a completion, and a text alone. Other rows count as those of classification, which
    refuses them with the names of their columns: a text beside other columns may have its class in
    one of them, and whoever forgot to name that column must not tune something else.

    Raises:
      FileNotFoundError, ImportError, ValueError: As for :func:`zojax.lm.tasks.read_examples`.
    """
    if is_text_file(path):
        return "text"
    rows = [row for row in itertools.islice(file_rows(path), _ROWS) if isinstance(row, Row)]

    def has(*names: str) -> bool:
        return all(any(row.has(name) for row in rows) for name in names)

    if has(columns.text, columns.label):
        return "classification"
    if has(columns.messages):
        return "chat"
    if has(columns.prompt, columns.completion):
        return "instruction"
    others = {name for row in rows for name in row.columns} - {columns.text}
    if has(columns.text) and not others:
        return "text"
    return "classification"

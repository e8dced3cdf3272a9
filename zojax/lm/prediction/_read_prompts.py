"""Reads prompts to go on with, row by row: CSV, JSONL, Parquet, or plain lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zojax.lm.prediction._continuation import Prompt
from zojax.lm.prediction._read_texts import TextFormat, rows_of
from zojax.lm.sequences import ASSISTANT, Columns, SequenceKind, messages_in
from zojax.lm.tasks import Row, RowError


class PromptRow(NamedTuple):
    """A row to go on with, or what is wrong with it."""

    where: str  # the file and the line
    prompt: Prompt | None  # None for a bad row
    problem: str  # what is wrong with a bad row, else empty


def read_prompts(
    source: str | Path, kind: SequenceKind, columns: Columns, given: TextFormat | None = None
) -> Iterator[PromptRow]:
    """Yield the rows of a file as they are read, bad ones included.

    Of ``lines``, each is a prompt, and for chats the user's message. Rows of the other formats have
    the columns of the run's training rows: of a conversation that ends with an answer, that one is
    to be written anew, and completions are not needed.

    Args:
      source: A file, or ``"-"`` for standard input; text is in UTF-8.
      kind: What the rows of the run are.
      columns: The names of their columns.
      given: The format; without it, what the file's suffix says.

    Raises:
      FileNotFoundError, ImportError, ValueError: As for
        :func:`zojax.lm.prediction.read_texts`.
    """
    by_kind = {"chat": columns.messages, "instruction": columns.prompt, "text": columns.text}
    column = by_kind[kind]
    for where, values, is_line in rows_of(source, (column,), column, given):
        if isinstance(values, str):
            yield PromptRow(where, None, values)
            continue
        row = Row(values, where)
        try:
            is_text = is_line or kind != "chat"
            prompt = row.text(column) if is_text else _without_answer(row, column)
        except RowError as error:
            yield PromptRow(where, None, error.line.removeprefix(f"{where}: ") + ".")
        else:
            yield PromptRow(where, prompt, "")


def _without_answer(row: Row, column: str) -> Prompt:
    messages = messages_in(row, column)
    while messages and messages[-1]["role"] == ASSISTANT:
        messages = messages[:-1]
    if not messages:
        row.refuse(column, "must have a message of another role than assistant")
    return messages

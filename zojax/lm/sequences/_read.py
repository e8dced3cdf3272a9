"""Reads the user's files of chats, of prompts and completions, or of plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zojax.lm.sequences._chat_template import ChatError, ChatTemplate
from zojax.lm.sequences._conversation import ASSISTANT, segments_of
from zojax.lm.sequences._segments import Columns, Segment, Segments, SequenceKind
from zojax.lm.sequences._text_file import is_text_file, text_file_rows
from zojax.lm.tasks import Fixes, Row, RowError, file_rows, refuse_missing, refuse_rows

Reader = Callable[[Row], Segments]


class Read(NamedTuple):
    """What was read from files.

    Attributes:
      rows: The text of each row, by file, in the file's order.
      wrong: What is wrong with each row that was left out.
    """

    rows: dict[str, tuple[Segments, ...]]
    wrong: tuple[RowError, ...]


def read_sequences(
    kind: SequenceKind,
    files: Mapping[str, Path],
    columns: Columns,
    template: ChatTemplate | None,
    *,
    skip_wrong: bool,
    fixes: Fixes,
) -> Read:
    """Read several files.

    Args:
      kind: What their rows are.
      files: Names of splits -> files.
      columns: The names of their columns.
      template: The chat template, for chats.
      skip_wrong: Leave wrong rows out.
      fixes: Who reads, and what to do about errors.

    Raises:
      FileNotFoundError, ImportError: As for :func:`zojax.lm.tasks.read_examples`.
      ValueError: Rows are wrong, of all files together, or a file has no right one.
    """
    read, needed = _reader(kind, columns, template)
    found: dict[str, tuple[Segments, ...]] = {}
    wrong: list[RowError] = []
    for name, path in files.items():
        rows = list(text_file_rows(path, columns.text) if is_text_file(path) else file_rows(path))
        good = [row for row in rows if isinstance(row, Row)]
        wrong += [row for row in rows if isinstance(row, RowError)]
        if not rows:
            raise ValueError(f"{fixes.caller}: {path} has no rows. Give one at least.")
        if good:
            refuse_missing(needed, good, str(path), fixes)
        texts: list[Segments] = []
        for row in good:
            try:
                texts.append(read(row))
            except RowError as error:
                wrong.append(error)
        found[name] = tuple(texts)
    if not skip_wrong or not all(found.values()):
        refuse_rows(wrong, sum(map(len, found.values())) + len(wrong), fixes)
    return Read(found, tuple(wrong))


def messages_in(row: Row, column: str) -> tuple[Mapping[str, Any], ...]:
    """Return the messages of a row, each with a role and a content.

    Raises:
      RowError: The column is no list of messages.
    """
    messages = row.objects(column)
    for place, message in enumerate(messages):
        for key in ("role", "content"):
            text = message.get(key)
            if not isinstance(text, str) or not text.strip():
                row.refuse(column, f"must have a non-empty {key} in message {place}, got {text!r}")
    return messages


def _reader(
    kind: SequenceKind, columns: Columns, template: ChatTemplate | None
) -> tuple[Reader, tuple[str, ...]]:
    """Return what makes text of a row, and the columns that it reads."""
    if kind == "text":
        return lambda row: (Segment(row.text(columns.text), learnt=True),), (columns.text,)
    if kind == "instruction":
        names = (columns.prompt, columns.completion)
        return lambda row: _instruction(row, *names), names
    if template is None:
        raise ValueError("read_sequences: chats need a template, got none. Give one.")
    return lambda row: _chat(row, columns.messages, template), (columns.messages,)


def _instruction(row: Row, prompt: str, completion: str) -> Segments:
    return Segment(row.text(prompt), learnt=False), Segment(row.text(completion), learnt=True)


def _chat(row: Row, column: str, template: ChatTemplate) -> Segments:
    messages = messages_in(row, column)
    roles = [message["role"] for message in messages]
    if ASSISTANT not in roles[1:]:
        shown = ", ".join(roles)
        row.refuse(column, f"must have an answer, of role assistant, after a question, got {shown}")
    if roles[0] == ASSISTANT:
        row.refuse(column, "must begin with a message of another role than assistant")
    try:
        return segments_of(messages, template)
    except ChatError as error:
        row.refuse(column, f"cannot be read: {error}")

"""Reads the prompts that completions are to be scored for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from zojax.lm.rewards._scorer import RewardRow
from zojax.lm.sequences import ASSISTANT, ChatError, Columns, SequenceTokens, messages_in
from zojax.lm.tasks import Fixes, Row, RowError, file_rows, refuse_missing, refuse_rows

PromptKind: TypeAlias = Literal["instruction", "chat"]

# Rows that tell which columns there are: rows of JSON may lack some.
_ROWS = 10


class Prompt(NamedTuple):
    """A row to go on with."""

    row: RewardRow
    ids: np.ndarray  # int32 [T]


class ReadPrompts(NamedTuple):
    """What was read from files.

    Attributes:
      prompts: The prompts of each file, in its order.
      wrong: What is wrong with each row that was left out.
    """

    prompts: dict[str, tuple[Prompt, ...]]
    wrong: tuple[RowError, ...]


def prompt_kind(path: Path, columns: Columns) -> PromptKind:
    """What the rows of a file are: conversations where they have the column, otherwise prompts.

    Raises:
      FileNotFoundError, ImportError, ValueError: As for :func:`zojax.lm.tasks.read_examples`.
    """
    rows = [row for row in itertools.islice(file_rows(path), _ROWS) if isinstance(row, Row)]
    return "chat" if any(row.has(columns.messages) for row in rows) else "instruction"


def read_prompts_of(
    files: Mapping[str, Path],
    tokens: SequenceTokens,
    columns: Columns,
    *,
    longest: int,
    needed: Sequence[str] = (),
    skip_wrong: bool,
    fixes: Fixes,
) -> ReadPrompts:
    """Read several files of prompts.

    Args:
      files: Names of splits -> files.
      tokens: How they become tokens; for chats with the template.
      columns: The names of their columns.
      longest: Most tokens of a prompt.
      needed: Columns that the reward reads.
      skip_wrong: Leave wrong rows out.
      fixes: Who reads, and what to do about errors.

    Raises:
      FileNotFoundError, ImportError: As for :func:`zojax.lm.tasks.read_examples`.
      ValueError: Rows are wrong, of all files together, or a file has no right one.
    """
    column = columns.messages if tokens.kind == "chat" else columns.prompt
    text_of = _chat if tokens.kind == "chat" else _text
    found: dict[str, tuple[Prompt, ...]] = {}
    wrong: list[RowError] = []
    for name, path in files.items():
        rows = [*file_rows(path)]
        good = [row for row in rows if isinstance(row, Row)]
        wrong += [row for row in rows if isinstance(row, RowError)]
        if not rows:
            raise ValueError(f"{fixes.caller}: {path} has no rows. Give one at least.")
        if good:
            refuse_missing([column, *needed], good, str(path), fixes)
        prompts: list[Prompt] = []
        for row in good:
            try:
                prompts.append(_prompt(row, column, text_of, tokens, needed, longest))
            except RowError as error:
                wrong.append(error)
        found[name] = tuple(prompts)
    if not skip_wrong or not all(found.values()):
        refuse_rows(wrong, sum(map(len, found.values())) + len(wrong), fixes)
    return ReadPrompts(found, tuple(wrong))


def prompt_of(
    caller: str,
    values: Mapping[str, Any],
    where: str,
    tokens: SequenceTokens,
    columns: Columns,
    longest: int,
) -> Prompt:
    """Make a prompt of a row's columns.

    Raises:
      ValueError: The row has none, or one that is too long.
    """
    column = columns.messages if tokens.kind == "chat" else columns.prompt
    text_of = _chat if tokens.kind == "chat" else _text
    try:
        return _prompt(Row(values, where), column, text_of, tokens, (), longest)
    except RowError as error:
        raise ValueError(f"{caller}: {error.line}.") from error


_TextOf: TypeAlias = Callable[[Row, str, SequenceTokens], str]


def _prompt(
    row: Row,
    column: str,
    text_of: _TextOf,
    tokens: SequenceTokens,
    needed: Sequence[str],
    longest: int,
) -> Prompt:
    text = text_of(row, column, tokens)
    for each in needed:
        if not row.has(each):
            row.refuse(each, "is missing, which the reward reads")
    ids = tokens.encode_prompt(text)
    if not 0 < len(ids) <= longest:
        row.refuse(column, f"must have 1 … {longest} tokens, got {len(ids)}")
    return Prompt(RewardRow(row.values, row.where, text), ids)


def _text(row: Row, column: str, tokens: SequenceTokens) -> str:
    del tokens
    return row.text(column)


def _chat(row: Row, column: str, tokens: SequenceTokens) -> str:
    """The text of a conversation up to an answer; the answers at its end are left out."""
    messages = messages_in(row, column)
    while messages and messages[-1]["role"] == ASSISTANT:
        messages = messages[:-1]
    if not messages or tokens.template is None:
        row.refuse(column, "must have a message of another role than assistant")
    try:
        return tokens.template.render(messages, add_generation_prompt=True)
    except ChatError as error:
        row.refuse(column, f"cannot be read: {error}")

"""Reads and splits rows of chats, of prompts and completions, or of plain text."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from zojax.lm.models import LanguageModel, ModelInput
from zojax.lm.sequences import (
    Read,
    SequenceKind,
    SequenceSet,
    SequenceTokens,
    TokenText,
    read_chat_template,
    read_sequences,
    sequence_tokens,
)
from zojax.lm.settings import DataConfig, FinetuneConfig
from zojax.lm.tasks import Fixes, divide_rows
from zojax.lm.training._kind import columns_of, sequence_kind
from zojax.lm.training._sequence_report import SequenceReport, report_on_sequences

_FIXES = Fixes(
    "finetune",
    "Correct the rows, or leave these out with --skip-bad-rows (skip_bad_rows)",
    "Name yours with --prompt-column, --completion-column, --messages-column or --text-column",
)
_EVALUATES = Fixes("evaluate_run", "Correct the rows", "Rename the columns")


T = TypeVar("T")


class PreparedSequences(NamedTuple):
    """The rows of a run, read and checked before the model's weights are loaded."""

    config: FinetuneConfig  # the run's, with all that the rows decide
    tokens: SequenceTokens
    sets: dict[str, SequenceSet]  # of train, dev and test
    report: SequenceReport


def prepare_sequences(config: FinetuneConfig, reads: ModelInput) -> PreparedSequences:
    """Read, check, tokenise and split the rows of a run.

    Args:
      config: The configuration, with the kind of its rows.
      reads: What the model reads.

    Raises:
      FileNotFoundError, ImportError: A file or a package is missing.
      ValueError: A setting or rows are wrong.
    """
    if config.objective != "loss":
        raise ValueError(
            f"finetune: objective must be loss for rows of kind {config.data.kind}, got "
            f"{config.objective}, which needs rows with right answers to choose or to compare."
        )
    tokens = tokens_of(config, reads)
    data = with_day(config.data, tokens)
    config = dataclasses.replace(config, data=data)
    files = files_of(data)
    read = read_sequences(
        tokens.kind,
        files,
        columns_of(data),
        tokens.template,
        skip_wrong=data.skip_bad_rows,
        fixes=_FIXES,
    )
    texts = _split(data, tokens, read, config.seed)
    sets = {name: SequenceSet.of(part, tokens) for name, part in texts.items()}
    return PreparedSequences(config, tokens, sets, report_on_sequences(tokens, files, read, sets))


def tokens_of(config: FinetuneConfig, model: LanguageModel | ModelInput) -> SequenceTokens:
    """Return what makes tokens of the rows of ``config`` for ``model``.

    Raises:
      ImportError: jinja2, which chats need, is not installed.
      ValueError: The model is masked, or has no chat template for chats.
    """
    data = config.data
    kind = _kind(data)
    if model.kind == "masked":
        raise ValueError(
            f"finetune: rows of kind {kind} need a causal model, got {config.model}, a masked one, "
            "which predicts no next token. Take OPT, LLaMA, Qwen or another causal model."
        )
    template = None
    if kind == "chat":
        day = None if data.chat_day is None else dt.date.fromisoformat(data.chat_day)
        template = read_chat_template(model.tokenizer, config.model, day)
    return sequence_tokens(
        kind,
        model.tokenizer,
        min(data.most_tokens, model.max_length),
        template=template,
        vocab_size=model.config.vocab_size,
    )


def read_set(config: FinetuneConfig, tokens: SequenceTokens, path: Path) -> SequenceSet:
    """Read all rows of another file, with the columns of a run's rows.

    Raises:
      FileNotFoundError, ImportError, ValueError: As for
        :func:`zojax.lm.sequences.read_sequences`.
    """
    read = read_sequences(
        tokens.kind,
        {"data": path},
        columns_of(config.data),
        tokens.template,
        skip_wrong=False,
        fixes=_EVALUATES,
    )
    return SequenceSet.of(tokens.encode(read.rows["data"]), tokens)


def _kind(data: DataConfig) -> SequenceKind:
    kind = sequence_kind(data)
    if kind is None:
        raise ValueError(f"tokens_of: kind must be one of rows without classes, got {data.kind}.")
    return kind


def with_day(data: DataConfig, tokens: SequenceTokens) -> DataConfig:
    """Keep the day that the template writes, so that a run that is resumed reads the same."""
    if tokens.template is None or not tokens.template.tells_day:
        return data
    return dataclasses.replace(data, chat_day=tokens.template.day.isoformat())


def files_of(data: DataConfig) -> dict[str, Path]:
    """The user's files by split."""
    given = {"train": data.train, "dev": data.dev, "test": data.test}
    return {name: path for name, path in given.items() if path is not None}


def _split(
    data: DataConfig, tokens: SequenceTokens, read: Read, seed: int
) -> dict[str, Sequence[TokenText]]:
    texts = {name: tokens.encode(rows) for name, rows in read.rows.items()}
    # A single text, such as a .txt file, has no rows to split but its pieces.
    if tokens.kind == "text" and len(texts["train"]) == 1 and len(texts) < 3:
        texts["train"] = texts["train"][0].pieces(tokens.max_length)
    divided = divide_rows(
        texts,
        ("dev", "test"),
        lambda _: 0,
        dev=data.dev_size,
        test=data.test_size,
        seed=seed,
        fixes=_FIXES,
    )
    sizes = {"train": data.train_size, "dev": data.dev_size, "test": data.test_size}
    return {name: at_most(divided[name], sizes[name], seed) for name in sizes}


def at_most(texts: Sequence[T], size: int | None, seed: int) -> Sequence[T]:
    """A sample of ``size`` rows, or all if there are at most that many."""
    if size is None or len(texts) <= size:
        return texts
    places = np.random.default_rng(seed).permutation(len(texts))[:size]
    return [texts[place] for place in sorted(places.tolist())]

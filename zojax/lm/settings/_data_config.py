"""The part of a run's configuration that says what it reads, and how that becomes prompts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

DataKind = Literal["classification", "instruction", "chat", "text"]

_MOST_TOKENS, _MOST_TOKENS_OF_SEQUENCES = 64, 512
# benchmarks/packing.py: with four lengths rows of texts are read nearly as fast as packed ones.
_BUCKETS, _BUCKETS_OF_SEQUENCES = 2, 4
# Options for rows of one's own, and which options are for rows of which kinds.
_OWN = (
    *("dev", "test", "kind", "skip_bad_rows", "text_column", "label_column"),
    *("prompt_column", "completion_column", "messages_column", "chat_day"),
)
_OF_KINDS: dict[str, tuple[DataKind, ...]] = {
    "prompt_column": ("instruction",),
    "completion_column": ("instruction",),
    "messages_column": ("chat",),
    "chat_day": ("chat",),
    "text_column": ("classification", "text"),
    **dict.fromkeys(
        ("label_column", "label_names", "label_words", "template", "bare", "k_shot"),
        ("classification",),
    ),
}
_COUNTS = ("max_length", "num_buckets", "k_shot", "train_size", "dev_size", "test_size")


@dataclass(frozen=True)
class DataConfig:
    """The texts and how they become prompts."""

    task: str | None = None
    """A task's name, such as sst2 or boolq, or a TOML file; without it, your own files, or
    rotten-tomatoes."""
    train: Path | None = None
    """The training rows: a CSV, JSONL or Parquet file, or one split's folder of the package
    datasets, or plain text in a .txt file; without a file, the task's own data."""
    kind: DataKind | None = None
    """What the rows of your files are: texts with a label (classification), prompts with a
    completion (instruction), conversations (chat), or plain text (text); without it, what their
    columns say."""
    dev: Path | None = None
    """The rows that choose the best step; without a file, some of the training rows."""
    test: Path | None = None
    """The rows of the final test; without a file, a tenth of the training rows."""
    text_column: str | None = None
    """The column of the text in your files; without it, text."""
    label_column: str | None = None
    """The column of the class in your files; without it, label."""
    prompt_column: str | None = None
    """The column of the prompt in your files; without it, prompt."""
    completion_column: str | None = None
    """The column of the completion in your files; without it, completion."""
    messages_column: str | None = None
    """The column of the conversation in your files; without it, messages."""
    chat_day: str | None = None
    """The day that a chat template takes for today, as in 2026-01-31; without it, the day on which
    the run began."""
    label_names: tuple[str, ...] | None = None
    """The classes' names in the files, class 0 first; without them, the label words, or else the
    values of the label column."""
    skip_bad_rows: bool = False
    """Leave rows out that cannot be read; otherwise they are an error that lists them."""
    template: str | None = None
    """A prompt in place of the task's, of {text}, say, and {label}; a causal model needs {label}
    at the end."""
    label_words: tuple[str, ...] | None = None
    """The word for each class that replaces {label}, class 0 first; for your own files the
    classes' names, unless they are given."""
    bare: bool = False
    """Leave the template's words out: the prompt is the text, then the label word."""
    max_length: int | None = None
    """Most tokens of a prompt, whose text is truncated and whose template never is, or of a row of
    another kind; without it, 64, and for chats, instructions and plain text 512, or as many as
    the model has positions."""
    k_shot: int | None = None
    """Training examples of each class, and as many dev examples, in place of their sizes."""
    train_size: int | None = None
    """Most training examples; without it, the task's own number, or all rows of your files."""
    dev_size: int | None = None
    """Most dev examples; without it, the task's own number, mostly 500."""
    test_size: int | None = None
    """Most test examples; without it, the task's own number, mostly 1000."""
    num_buckets: int | None = None
    """How many padded lengths batches may have, each of which is compiled once; without it, 2, and
    for chats, instructions and plain text 4."""

    @property
    def most_tokens(self) -> int:
        """``max_length``, or what is taken without it."""
        most = _MOST_TOKENS if self._are_prompts else _MOST_TOKENS_OF_SEQUENCES
        return most if self.max_length is None else self.max_length

    @property
    def padded_lengths(self) -> int:
        """``num_buckets``, or what is taken without it."""
        most = _BUCKETS if self._are_prompts else _BUCKETS_OF_SEQUENCES
        return most if self.num_buckets is None else self.num_buckets

    @property
    def _are_prompts(self) -> bool:
        return self.kind in (None, "classification")


def check_data(data: DataConfig) -> None:
    """Refuse wrong settings, and options about the user's own files without a training file.

    Raises:
      ValueError: A setting is wrong.
    """
    if data.kind not in (None, *get_args(DataKind)):
        names = ", ".join(get_args(DataKind))
        raise ValueError(f"finetune: kind must be one of {names}, got {data.kind!r}.")
    if data.chat_day is not None and not _is_day(data.chat_day):
        raise ValueError(
            f"finetune: chat_day must be a day as in 2026-01-31, got {data.chat_day!r}."
        )
    if data.kind is not None and data.task is not None:
        raise ValueError(
            f"finetune: kind must be left out with task, which says it, got {data.kind} and "
            f"{data.task}."
        )
    if data.kind is not None:
        check_kind(data, data.kind)
    for name in _COUNTS:
        if getattr(data, name) is not None:
            at_least_one(name, getattr(data, name))
    for name in ("train_size", "dev_size"):
        if data.k_shot is not None and getattr(data, name) is not None:
            raise ValueError(
                f"finetune: {name} must be left out with k_shot, which says how many examples of "
                f"each class train and dev have, got {getattr(data, name)} and {data.k_shot}."
            )
    _check_files(data)


def check_kind(data: DataConfig, kind: DataKind) -> None:
    """Refuse options about rows of another kind.

    Raises:
      ValueError: An option is not one for rows of this kind.
    """
    for name, kinds in _OF_KINDS.items():
        if kind not in kinds and (value := getattr(data, name)) not in (None, False):
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"finetune: {name} must be left out for rows of kind {kind}, got {value!r}: it is "
                f"for {' and '.join(kinds)}. Leave {flag} out, or name the kind with --kind (kind)."
            )


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_files(data: DataConfig) -> None:
    """Refuse options about the user's own files where there is no training file."""
    if data.train is not None:
        return
    for name in _OWN:
        value = getattr(data, name)
        if value not in (None, False):
            raise ValueError(
                f"finetune: {name} needs train, a file of your own, got {name}={value} without "
                "one. Give --train FILE (train) too, or leave it out."
            )


def at_least_one(name: str, value: int) -> None:
    """Refuse a number below 1."""
    if value < 1:
        raise ValueError(f"finetune: {name} must be >= 1, got {value}.")

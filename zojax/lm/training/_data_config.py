"""The part of a run's configuration that says what it reads, and how that becomes prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_COUNTS = ("max_length", "num_buckets", "k_shot", "train_size", "dev_size", "test_size")


@dataclass(frozen=True)
class DataConfig:
    """The texts and how they become prompts."""

    task: str | None = None
    """A task's name, such as sst2 or boolq, or a TOML file; without it, classification of your own
    files, or rotten-tomatoes."""
    train: Path | None = None
    """The training rows: a CSV, JSONL or Parquet file, or one split's folder of the package
    datasets; without a file, the task's own data."""
    dev: Path | None = None
    """The rows that choose the best step; without a file, some of the training rows."""
    test: Path | None = None
    """The rows of the final test; without a file, a tenth of the training rows."""
    text_column: str | None = None
    """The column of the text in your files; without it, text."""
    label_column: str | None = None
    """The column of the class in your files; without it, label."""
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
    max_length: int = 64
    """Most tokens of a prompt; a longer text is truncated, the template never."""
    k_shot: int | None = None
    """Training examples of each class, and as many dev examples."""
    train_size: int | None = None
    """Most training examples; without it, the task's own number, or all rows of your files."""
    dev_size: int | None = None
    """Most dev examples; without it, the task's own number, mostly 500."""
    test_size: int | None = None
    """Most test examples; without it, the task's own number, mostly 1000."""
    num_buckets: int = 2
    """How many padded lengths batches may have; each is compiled once."""


def check_data(data: DataConfig) -> None:
    """Refuse wrong settings, and options about the user's own files without a training file.

    Raises:
      ValueError: A setting is wrong.
    """
    for name in _COUNTS:
        if getattr(data, name) is not None:
            at_least_one(name, getattr(data, name))
    _check_files(data)


def _check_files(data: DataConfig) -> None:
    """Refuse options about the user's own files where there is no training file."""
    if data.train is not None:
        return
    for name in ("dev", "test", "text_column", "label_column", "skip_bad_rows"):
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

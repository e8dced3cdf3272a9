"""What the rows of a run are, where its configuration leaves that to their columns."""

from __future__ import annotations

import dataclasses

from zojax.lm.rewards import prompt_kind
from zojax.lm.sequences import Columns, SequenceKind, kind_of
from zojax.lm.settings import DataConfig, DataKind, check_kind

# Options that say what the rows are; text_column does not.
_SAYS: tuple[tuple[DataKind, tuple[str, ...]], ...] = (
    ("chat", ("messages_column",)),
    ("instruction", ("prompt_column", "completion_column")),
    (
        "classification",
        ("label_column", "label_names", "label_words", "template", "bare", "k_shot"),
    ),
)


def with_kind(data: DataConfig, *, prompts: bool = False) -> DataConfig:
    """Name what the rows of the user's own files are, in a configuration that does not.

    Args:
      data: The configuration.
      prompts: The rows are prompts whose completions a reward scores.

    Raises:
      FileNotFoundError, ImportError: As for :func:`zojax.lm.sequences.kind_of`.
      ValueError: Likewise; or an option is for rows of another kind.
    """
    if data.train is None or data.task is not None or data.kind is not None:
        return data
    said: list[DataKind] = [
        kind for kind, names in _SAYS if any(getattr(data, name) for name in names)
    ]
    of_file = prompt_kind if prompts else kind_of
    kind = said[0] if said else of_file(data.train, columns_of(data))
    check_kind(data, kind)
    return dataclasses.replace(data, kind=kind)


def columns_of(data: DataConfig) -> Columns:
    """The names of the columns of the user's files."""
    names = {field: getattr(data, f"{field}_column") for field in Columns._fields}
    return Columns(**{field: name for field, name in names.items() if name is not None})


def sequence_kind(data: DataConfig) -> SequenceKind | None:
    """The kind of rows without classes; None for tasks and classification."""
    return None if data.kind in (None, "classification") else data.kind

"""The examples of a run: read from the user's files or by the task, and split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from zojax.lm.settings import DataConfig
from zojax.lm.tasks import (
    Example,
    Fixes,
    ModelKind,
    RowError,
    Task,
    divide,
    find_classes,
    load_splits,
    read_files,
    sample_splits,
)
from zojax.lm.training._task import is_own, needs_classes, task_of

Examples = tuple[Example, ...]

_FIXES = Fixes(
    "finetune",
    "Correct the rows, name the classes with --label-names (label_names), or leave these rows out "
    "with --skip-bad-rows (skip_bad_rows)",
    "Name yours with --text-column (text_column) and --label-column (label_column), or say what "
    "the rows are with --kind (kind): text, chat or instruction",
)


class Splits(NamedTuple):
    """The examples of a run.

    Attributes:
      data: The configuration, with the classes that the rows have.
      task: The task.
      examples: ``"train"``, ``"dev"`` and ``"test"``.
      read: How many examples each of the user's files has; empty without files.
      wrong: What is wrong with each row that was left out.
    """

    data: DataConfig
    task: Task
    examples: dict[str, Examples]
    read: dict[str, int]
    wrong: tuple[RowError, ...]


def with_classes(data: DataConfig, kind: ModelKind) -> DataConfig:
    """Name the classes in a configuration that leaves them to the column of labels.

    Args:
      data: The configuration.
      kind: The kind of model that reads the prompts.

    Raises:
      FileNotFoundError, ImportError, ValueError: As for :func:`zojax.lm.tasks.find_classes`.
    """
    if data.train is None or not needs_classes(data):
        return data
    # Which columns the prompt reads does not depend on the classes.
    task = task_of(dataclasses.replace(data, label_names=("no", "yes")), kind)
    columns = [task.columns.get(field, field) for field in task.fields]
    names = find_classes(data.train, task.label_column, others=columns, fixes=_FIXES)
    return dataclasses.replace(data, label_names=names)


def read_splits(data: DataConfig, kind: ModelKind, seed: int) -> Splits:
    """Read the examples of a configuration, and split them.

    Args:
      data: The configuration.
      kind: The kind of model that reads the prompts.
      seed: Determines the samples.

    Raises:
      FileNotFoundError, ImportError: As for :func:`zojax.lm.tasks.read_files`.
      ValueError: A setting or a row is wrong, or there are too few rows.
    """
    data = with_classes(data, kind)
    task = task_of(data, kind)
    given = {"train": data.train, "dev": data.dev, "test": data.test}
    files = {name: path for name, path in given.items() if path is not None}
    if not files:
        examples = load_splits(task, k_shot=data.k_shot, seed=seed)
        return Splits(data, task, examples, {}, ())
    read = read_files(task, files, skip_wrong=data.skip_bad_rows, fixes=_FIXES)
    counts = {name: len(examples) for name, examples in read.examples.items()}
    examples = _split(data, task, read.examples, seed)
    return Splits(data, task, examples, counts, read.wrong)


def _split(
    data: DataConfig, task: Task, files: Mapping[str, Examples], seed: int
) -> dict[str, Examples]:
    # The sizes of a task that has a name are those of the papers, and so is its sampling of dev;
    # few-shot dev is sampled from the rows that train does not take.
    own = is_own(data) and data.k_shot is None
    files = divide(
        files,
        ("dev", "test") if own else ("test",),
        by_class=task.kind == "classification",
        dev=data.dev_size,
        test=data.test_size,
        seed=seed,
        fixes=_FIXES,
    )
    return sample_splits(task, files, k_shot=data.k_shot, seed=seed)

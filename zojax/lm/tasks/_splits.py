"""The splits of a task, and random samples of examples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np

from zojax.lm.tasks._datasets import hub_rows
from zojax.lm.tasks._example import Example
from zojax.lm.tasks._read import examples_of, read_examples
from zojax.lm.tasks._task import Task

Examples = tuple[Example, ...]

# The five seeds of the papers on few-shot RoBERTa: LM-BFF, MeZO and ZO-AdaMU.
SEEDS = (13, 21, 42, 87, 100)


def load_splits(
    task: Task,
    *,
    files: Mapping[str, str | Path] | None = None,
    k_shot: int | None = None,
    seed: int = 0,
) -> dict[str, Examples]:
    """Read a task's examples and sample its train, dev and test splits.

    Train and dev are sampled with ``seed``; without a dev file, dev is sampled from the training
    rows. The test split is the same for every seed.

    Args:
      task: The task; its sizes limit the number of examples of each split.
      files: ``"train"``, ``"test"`` and optionally ``"dev"``: CSV, JSONL or Parquet files. Without
        them, the task's own files, the package that has its data, or ``datasets`` are read; the
        first of these that the task has.
      k_shot: Train and dev examples of each class, see :func:`few_shot`; replaces ``task.sizes``.
        The papers use the five :data:`SEEDS` with 16 or 512.
      seed: Determines the samples.

    Returns:
      ``"train"``, ``"dev"`` and ``"test"``. No example is in two splits that come from the same
      rows; dev takes at most half of the rows that it shares with train.

    Raises:
      ImportError: The package that has the data, or the one that reads it, is not installed.
      ValueError: The task has no data, a row is wrong, or ``k_shot`` is given for a task without
        classes.
    """
    return sample_splits(task, _all_examples(task, files), k_shot=k_shot, seed=seed)


def sample_splits(
    task: Task, examples: Mapping[str, Examples], *, k_shot: int | None = None, seed: int = 0
) -> dict[str, Examples]:
    """Sample the splits of examples that have been read; see :func:`load_splits`.

    Args:
      task: The task; its sizes limit the number of examples of each split.
      examples: ``"train"``, ``"test"`` and optionally ``"dev"``.
      k_shot, seed: As for :func:`load_splits`.

    Raises:
      ValueError: ``k_shot`` is given for a task without classes, or a class has too few examples.
    """
    train, dev = examples["train"], examples.get("dev")
    if k_shot is not None:
        if task.kind != "classification":
            raise ValueError(
                f"load_splits: k_shot needs a task with classes, got {task.name}, a {task.kind} "
                "task. Set the task's sizes."
            )
        if dev is None:
            train, dev = few_shot(train, k_shot, seed)
        else:
            train, dev = few_shot(train, k_shot, seed)[0], few_shot(dev, k_shot, seed)[0]
    elif dev is None:
        train, dev = hold_out(train, max(1, min(task.sizes.dev, len(train) // 2)), seed)
    return {
        "train": at_most(train, task.sizes.train if k_shot is None else len(train), seed),
        "dev": at_most(dev, task.sizes.dev if k_shot is None else len(dev), seed),
        "test": at_most(examples["test"], task.sizes.test, 0),
    }


def few_shot(examples: Sequence[Example], count: int, seed: int) -> tuple[Examples, Examples]:
    """Sample ``count`` examples of each class for train and as many for dev; return both, shuffled.

    A class of fewer than ``2 * count`` examples gives half of them to each split; TREC's rare class
    is one if ``count`` is 512.

    Raises:
      ValueError: ``count`` < 1, or a class has fewer than two examples.
    """
    if count < 1:
        raise ValueError(f"few_shot: count must be >= 1, got {count}.")
    rng = np.random.default_rng(seed)
    drawn: tuple[list[int], list[int]] = ([], [])
    for label, places in _by_class(examples).items():
        if len(places) < 2:
            raise ValueError(
                f"few_shot: class {label} must have >= 2 examples, one for train and one for dev, "
                f"got {len(places)}."
            )
        members = rng.permutation(places)
        size = min(count, len(members) // 2)
        drawn[0].extend(members[:size].tolist())
        drawn[1].extend(members[size : 2 * size].tolist())
    train, dev = (tuple(examples[i] for i in rng.permutation(part)) for part in drawn)
    return train, dev


def per_class(examples: Sequence[Example], count: int, seed: int) -> Examples:
    """Sample ``count`` examples of each class ("k-shot"), shuffled.

    Args:
      examples: The examples to sample from, without replacement.
      count: Examples of each class, at least 1.
      seed: Determines the sample and its order.

    Raises:
      ValueError: A class has fewer than ``count`` examples.
    """
    if count < 1:
        raise ValueError(f"per_class: count must be >= 1, got {count}.")
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for label, members in _by_class(examples).items():
        if len(members) < count:
            raise ValueError(
                f"per_class: class {label} must have >= {count} examples, got {len(members)}. "
                "Ask for fewer examples of each class, or give more."
            )
        drawn.extend(rng.choice(members, count, replace=False).tolist())
    return tuple(examples[i] for i in rng.permutation(drawn))


def hold_out(examples: Sequence[Example], count: int, seed: int) -> tuple[Examples, Examples]:
    """Split off ``count`` random examples; return ``(the others, those split off)``.

    Raises:
      ValueError: One of the two parts would be empty.
    """
    if not 0 < count < len(examples):
        raise ValueError(f"hold_out: count must be within 1 … {len(examples) - 1}, got {count}.")
    order = np.random.default_rng(seed).permutation(len(examples))
    return tuple(examples[i] for i in order[count:]), tuple(examples[i] for i in order[:count])


def at_most(examples: Sequence[Example], count: int, seed: int) -> Examples:
    """Sample ``count`` examples, or return all if there are at most that many."""
    if len(examples) <= count:
        return tuple(examples)
    return hold_out(examples, count, seed)[1]


def fixed_splits(
    examples: Sequence[Example],
    dev: int,
    test: int,
    group: Callable[[Example], Hashable] | None = None,
) -> dict[str, Examples]:
    """Drop repeated inputs and split in the same way in every run; train gets the remainder.

    Args:
      examples: The examples, in the same order in every run. Of examples with equal fields and
        choices only the first is kept.
      dev: Most dev examples.
      test: Most test examples.
      group: Examples with an equal ``group(example)`` go into the same split.
    """
    unique: dict[Hashable, Example] = {}
    for example in examples:
        unique.setdefault((*example.fields.items(), example.choices), example)
    groups: dict[Hashable, list[Example]] = {}
    for key, example in unique.items():
        groups.setdefault(key if group is None else group(example), []).append(example)
    rng = np.random.default_rng(0)
    every = list(groups.values())
    splits: dict[str, list[Example]] = {"train": [], "dev": [], "test": []}
    for i in rng.permutation(len(every)):
        fits = [
            name
            for name, size in (("test", test), ("dev", dev))
            if len(splits[name]) + len(every[i]) <= size
        ]
        splits[fits[0] if fits else "train"] += every[i]
    return {
        name: tuple(part[i] for i in rng.permutation(len(part))) for name, part in splits.items()
    }


def _all_examples(task: Task, files: Mapping[str, str | Path] | None) -> Mapping[str, Examples]:
    files = files or task.files
    if files:
        unknown = files.keys() - {"train", "dev", "test"}
        if unknown or not {"train", "test"} <= files.keys():
            raise ValueError(
                f"load_splits: files must be train, test and perhaps dev, got {', '.join(files)}."
            )
        return {split: read_examples(path, task) for split, path in files.items()}
    if task.source is not None:
        return task.source()
    if task.hub is not None:
        splits = {"train": task.hub.train, "test": task.hub.test}
        return {
            name: examples_of(task, hub_rows(task.hub, split), task.hub.name)
            for name, split in splits.items()
        }
    raise ValueError(
        f"load_splits: {task.name} has no data of its own. Give files: "
        "{'train': ..., 'test': ...}."
    )


def _by_class(examples: Sequence[Example]) -> dict[int, list[int]]:
    """Return the indices of each class's examples, class 0 first."""
    members: dict[int, list[int]] = {}
    for place, example in enumerate(examples):
        members.setdefault(example.label, []).append(place)
    return dict(sorted(members.items()))

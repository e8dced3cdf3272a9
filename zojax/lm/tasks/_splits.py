"""Samples of examples, and a task's splits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._files import hub_rows
from zojax.lm.tasks._read import examples_of, read_examples
from zojax.lm.tasks._task import Task

Examples = tuple[Example, ...]

# The five seeds of the few-shot papers on RoBERTa: LM-BFF, MeZO, ZO-AdaMU.
SEEDS = (13, 21, 42, 87, 100)


def load_splits(
    task: Task,
    *,
    files: Mapping[str, str | Path] | None = None,
    k_shot: int | None = None,
    seed: int = 0,
) -> dict[str, Examples]:
    """Read a task's examples and draw its train, dev and test splits.

    Train and dev are drawn with ``seed``, from the training rows where there is no dev file; the
    test split is the same for every seed.

    Args:
      task: What to read, and how many examples of each split at most.
      files: ``"train"``, ``"test"`` and perhaps ``"dev"``: CSV, JSONL or Parquet files. Without
        them, the task's own files, the package that has its data, or ``datasets``, in this order.
      k_shot: Train and dev examples of each class, see :func:`few_shot`, in place of
        ``task.sizes``. The papers use the five :data:`SEEDS` with 16 or 512.
      seed: Decides the draws.

    Returns:
      ``"train"``, ``"dev"`` and ``"test"``, no example in two of them. Dev takes at most half of
      rows that it shares with train.

    Raises:
      ImportError: The package that has the data, or that reads it, is not installed.
      ValueError: There is nothing to read from, a row is wrong, or ``k_shot`` is asked of a task
        without classes.
    """
    whole = _whole(task, files)
    train, dev = whole["train"], whole.get("dev")
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
        "test": at_most(whole["test"], task.sizes.test, 0),
    }


def few_shot(examples: Sequence[Example], count: int, seed: int) -> tuple[Examples, Examples]:
    """Draw ``count`` examples of each class twice: ``(train, dev)``, both shuffled.

    A class of fewer than twice as many gives half of them to each, as the rare class of TREC does
    where ``count`` is 512.

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
    """Draw ``count`` examples of each class ("k-shot"), shuffled.

    Args:
      examples: Where to draw from, without replacement.
      count: Examples of each class, at least 1.
      seed: Decides the draw and the order.

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
    """Set ``count`` examples aside at random: ``(the others, those set aside)``.

    Raises:
      ValueError: Nothing would be left of one of the two.
    """
    if not 0 < count < len(examples):
        raise ValueError(f"hold_out: count must be within 1 … {len(examples) - 1}, got {count}.")
    order = np.random.default_rng(seed).permutation(len(examples))
    return tuple(examples[i] for i in order[count:]), tuple(examples[i] for i in order[:count])


def at_most(examples: Sequence[Example], count: int, seed: int) -> Examples:
    """Draw ``count`` examples at random, or return all where there are no more."""
    if len(examples) <= count:
        return tuple(examples)
    return hold_out(examples, count, seed)[1]


def fixed_splits(
    examples: Sequence[Example],
    dev: int,
    test: int,
    group: Callable[[Example], Hashable] | None = None,
) -> dict[str, Examples]:
    """Drop repeated inputs and split, the same way in every run; train is what is left.

    Args:
      examples: In an order that is always the same. Of those with the same fields and choices the
        first is kept.
      dev: Most dev examples.
      test: Most test examples.
      group: Examples for which it gives the same go into the same split.
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


def _whole(task: Task, files: Mapping[str, str | Path] | None) -> Mapping[str, Examples]:
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
    """Return the places of each class's examples, class 0 first."""
    members: dict[int, list[int]] = {}
    for place, example in enumerate(examples):
        members.setdefault(example.label, []).append(place)
    return dict(sorted(members.items()))

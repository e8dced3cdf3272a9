"""Reads a user's own files, and divides their rows into train, dev and test."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._files import file_rows
from zojax.lm.tasks._read import read_rows
from zojax.lm.tasks._row import RowError
from zojax.lm.tasks._task import Task
from zojax.lm.tasks._wrong_rows import READ_EXAMPLES, Fixes, refuse_rows

Examples = tuple[Example, ...]
T = TypeVar("T")

# A part that no file is given for is a tenth of the rows, at most those of MeZO's experiments. Of
# few rows a tenth measures nothing: there it is 50 rows, or a fifth of all where that is less.
_SHARE, _LEAST, _LEAST_SHARE = 10, 50, 5
_MOST = {"dev": 500, "test": 1000}


class Files(NamedTuple):
    """What was read from files.

    Attributes:
      examples: The examples of each file, in its order.
      wrong: What is wrong with each row that was left out.
    """

    examples: dict[str, Examples]
    wrong: tuple[RowError, ...]


def read_files(
    task: Task,
    files: Mapping[str, str | Path],
    *,
    skip_wrong: bool = False,
    fixes: Fixes = READ_EXAMPLES,
) -> Files:
    """Read several files of a task.

    Args:
      task: The task, which names the columns to read.
      files: Names of splits -> files; see :func:`read_examples`.
      skip_wrong: Leave wrong rows out.
      fixes: Who reads, and what to do about errors.

    Raises:
      FileNotFoundError, ImportError: As for :func:`read_examples`.
      ValueError: Rows are wrong, of all files together, or a file has no right one.
    """
    found = {
        name: read_rows(task, file_rows(Path(path), task.class_names), str(path), fixes)
        for name, path in files.items()
    }
    wrong = tuple(error for read in found.values() for error in read.wrong)
    total = sum(len(read.examples) for read in found.values()) + len(wrong)
    if not skip_wrong or not all(read.examples for read in found.values()):
        refuse_rows(wrong, total, fixes)
    return Files({name: read.examples for name, read in found.items()}, wrong)


def divide(
    files: Mapping[str, Sequence[Example]],
    parts: Sequence[Literal["dev", "test"]] = ("dev", "test"),
    *,
    by_class: bool,
    dev: int | None = None,
    test: int | None = None,
    seed: int = 0,
    fixes: Fixes = READ_EXAMPLES,
) -> dict[str, Examples]:
    """Split dev and test off from the training rows, where they have no file of their own.

    Each is a tenth of the rows, at most 500 for dev and 1,000 for test; where a tenth is fewer
    than 50 rows, it is 50, or a fifth of the rows if that is less. It is never fewer than the
    classes.

    Args:
      files: ``"train"``, and perhaps ``"dev"`` and ``"test"``.
      parts: What to split off if it is not there.
      by_class: Give each part the same share of every class, and a row at least of each class if
        the part has as many rows.
      dev, test: Numbers of rows in place of these.
      seed: Determines which rows are dev; those of test are the same for every seed.
      fixes: Who divides.

    Returns:
      The splits; train is left with a row of each class at least.

    Raises:
      ValueError: There are too few rows.
    """
    classes = _label if by_class else _no_class
    return divide_rows(files, parts, classes, dev=dev, test=test, seed=seed, fixes=fixes)


def divide_rows(
    files: Mapping[str, Sequence[T]],
    parts: Sequence[Literal["dev", "test"]],
    class_of: Callable[[T], int],
    *,
    dev: int | None,
    test: int | None,
    seed: int,
    fixes: Fixes,
) -> dict[str, tuple[T, ...]]:
    """Split rows of any type as :func:`divide` does, those of each ``class_of(row)`` in its share.

    Raises:
      ValueError: There are too few rows.
    """
    splits = {name: tuple(rows) for name, rows in files.items()}
    total = len(splits["train"])
    share = max(total // _SHARE, min(_LEAST, total // _LEAST_SHARE))
    classes = len({class_of(row) for row in splits["train"]})
    # Test goes first, so that it does not depend on the seed, which dev does.
    for name, given, draw in (("test", test, 0), ("dev", dev, seed)):
        if name in splits or name not in parts:
            continue
        count = max(classes, min(share, _MOST[name])) if given is None else given
        splits["train"], splits[name] = _split_off(splits["train"], count, class_of, draw)
        if not splits[name]:
            raise ValueError(
                f"{fixes.caller}: {total} training rows must be enough to take one of them for "
                f"{name} and leave one of its class. Give more rows, or a file for {name} "
                f"(--{name})."
            )
    return splits


def _label(example: Example) -> int:
    return example.label


def _no_class(row: object) -> int:  # noqa: ARG001
    return 0


def _split_off(
    rows: Sequence[T], count: int, class_of: Callable[[T], int], seed: int
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Split off ``count`` random rows, at most all but one of each class."""
    rng = np.random.default_rng(seed)
    classes: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        classes.setdefault(class_of(row), []).append(place)
    members = [rng.permutation(places) for _, places in sorted(classes.items())]
    counts = _seats([len(places) for places in members], count)
    taken = np.concatenate([places[:n] for places, n in zip(members, counts, strict=True)])
    rest = np.concatenate([places[n:] for places, n in zip(members, counts, strict=True)])
    first, second = (
        tuple(rows[i] for i in rng.permutation(part).tolist()) for part in (rest, taken)
    )
    return first, second


def _seats(sizes: Sequence[int], count: int) -> list[int]:
    """Share ``count`` out in proportion to ``sizes``, by Sainte-Laguë's method.

    Where there are enough, everyone gets one first; nobody gets all of its own size.
    """
    most = [size - 1 for size in sizes]
    first = [min(1, limit) for limit in most]
    seats = first if sum(first) <= count else [0] * len(sizes)
    queue = [(-size / (2 * seats[i] + 1), i) for i, size in enumerate(sizes)]
    heapq.heapify(queue)
    left = count - sum(seats)
    while left and queue:
        _, i = heapq.heappop(queue)
        if seats[i] < most[i]:
            seats[i] += 1
            left -= 1
            heapq.heappush(queue, (-sizes[i] / (2 * seats[i] + 1), i))
    return seats

"""Batches of a few fixed shapes: prompts of like length together, so that padding costs little.

Each shape of batch is one more compilation, so the lengths are few and chosen for the data at hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._prompt_set import Batch, PromptSet, View

# Lengths are multiples of this many tokens, and at most this many of them are tried.
_MULTIPLE = 8
_MOST_LENGTHS = 64


class Decoding(NamedTuple):
    """Prompts to write answers to."""

    batch: Batch  # each row is a prompt; positions [B, 1] is its last token
    examples: tuple[Example, ...]  # those in the batch; their answers are right


def bucket_lengths(lengths: np.ndarray, num_buckets: int) -> tuple[int, ...]:
    """Choose at most ``num_buckets`` padded lengths that pad ``lengths`` least.

    Args:
      lengths: Tokens of each row.
      num_buckets: Most lengths, that is, most compilations of whatever takes a batch.

    Returns:
      Ascending multiples of 8 tokens; the last holds the longest row.
    """
    if num_buckets < 1:
        raise ValueError(f"bucket_lengths: num_buckets must be >= 1, got {num_buckets}.")
    longest = int(lengths.max())
    multiple = _MULTIPLE * -(-longest // (_MULTIPLE * _MOST_LENGTHS))
    candidates = list(range(multiple, longest + multiple, multiple))
    # How many rows are no longer than each candidate.
    counts = [0, *np.searchsorted(np.sort(lengths), candidates, side="right").tolist()]

    def padded_tokens(inner: tuple[int, ...]) -> int:
        edges = [*inner, len(candidates)]
        starts = [0, *inner]
        return sum(
            (counts[end] - counts[start]) * candidates[end - 1]
            for start, end in zip(starts, edges, strict=True)
        )

    choices = itertools.combinations(
        range(1, len(candidates)), min(num_buckets, len(candidates)) - 1
    )
    best = min(choices, key=padded_tokens)
    return tuple(candidates[end - 1] for end in [*best, len(candidates)])


def training_batches(
    prompts: PromptSet,
    lengths: tuple[int, ...],
    batch_size: int,
    seed: int,
    view: View = "training",
    start: int = 0,
) -> Iterator[Batch]:
    """Yield batches without end: shuffled epochs of examples of like length.

    What does not fill a batch of its length goes up to the next length; what is left at the top,
    less than one batch, waits for another epoch.

    Args:
      prompts: The training examples, N of them.
      lengths: From :func:`bucket_lengths` of ``prompts.lengths_of(view)``.
      batch_size: Examples of a batch, at most N.
      seed: Decides the order of every epoch.
      view: Which rows, see :meth:`PromptSet.batch`; a metric of choices needs ``"candidates"``,
        one of written answers ``"prompt"``.
      start: Batches to leave out at the beginning.

    Raises:
      ValueError: ``batch_size`` is outside 1 … N.
    """
    row_lengths = prompts.lengths_of(view)
    if not 1 <= batch_size <= len(prompts):
        raise ValueError(
            f"training_batches: batch_size must lie within 1 … {len(prompts)}, the number of "
            f"examples, got {batch_size}."
        )
    members = _epochs(_groups(row_lengths, lengths), batch_size, seed)
    members = itertools.islice(members, start, None)
    return (prompts.batch(m, length, batch_size, view) for length, m in members)


def evaluation_batches(
    prompts: PromptSet, lengths: tuple[int, ...], batch_size: int
) -> Iterator[Batch]:
    """Yield every example with all its candidates, by length; empty places weigh 0.

    Args:
      prompts: The examples.
      lengths: From :func:`bucket_lengths`.
      batch_size: Examples of a batch.
    """
    for length, members in _in_order(prompts.lengths, lengths, batch_size):
        yield prompts.batch(members, length, batch_size, "candidates")


def decoding_batches(
    prompts: PromptSet, lengths: tuple[int, ...], batch_size: int
) -> Iterator[Decoding]:
    """Yield every prompt to write an answer to, by length, with the examples that know the answer.

    Args:
      prompts: The examples.
      lengths: From :func:`bucket_lengths` of ``prompts.prompt_lengths``.
      batch_size: Examples of a batch; the last of a length may be fewer, and empty places weigh 0.
    """
    for length, members in _in_order(prompts.prompt_lengths, lengths, batch_size):
        batch = prompts.batch(members, length, batch_size, "prompt")
        yield Decoding(batch, tuple(prompts.examples[i] for i in members))


def _epochs(
    groups: list[tuple[int, np.ndarray]], batch_size: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    for epoch in itertools.count():
        rng = np.random.default_rng([seed, epoch])
        batches: list[tuple[int, np.ndarray]] = []
        waiting = np.array([], np.int64)
        for length, members in groups:
            pool = rng.permutation(np.concatenate([waiting, members]))
            full = len(pool) // batch_size * batch_size
            batches += [
                (length, pool[start : start + batch_size]) for start in range(0, full, batch_size)
            ]
            waiting = pool[full:]
        for i in rng.permutation(len(batches)):
            yield batches[i]


def _in_order(
    row_lengths: np.ndarray, lengths: tuple[int, ...], batch_size: int
) -> Iterator[tuple[int, np.ndarray]]:
    for length, members in _groups(row_lengths, lengths):
        for start in range(0, len(members), batch_size):
            yield length, members[start : start + batch_size]


def _groups(row_lengths: np.ndarray, lengths: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    """Return each padded length with the examples that fit it and no shorter one."""
    places = np.searchsorted(lengths, row_lengths)
    return [(length, np.flatnonzero(places == i)) for i, length in enumerate(lengths)]

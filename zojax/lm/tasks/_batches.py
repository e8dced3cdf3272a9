"""Batches of a few fixed shapes; prompts of similar length share a batch, so padding costs little.

Each shape of batch needs a compilation, so the padded lengths are few and chosen for the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._prompt_set import Batch, PromptSet, View

_MULTIPLE = 8  # padded lengths are multiples of this many tokens
_MOST_LENGTHS = 64  # most candidates for padded lengths; longer rows use larger multiples


class Examples(Protocol):
    """Tokenised examples that batches are made of, as :class:`PromptSet` has them."""

    def __len__(self) -> int: ...
    def lengths_of(self, view: View) -> np.ndarray: ...
    # A Batch; other arrays where other losses read them.
    def batch(self, members: np.ndarray, length: int, size: int, view: View) -> Any: ...


class Decoding(NamedTuple):
    """A batch of prompts for decoding."""

    batch: Batch  # each row is a prompt; positions [B, 1] is the place of its last token
    examples: tuple[Example, ...]  # the examples of the batch, with their right answers


def bucket_lengths(lengths: np.ndarray, num_buckets: int) -> tuple[int, ...]:
    """Choose at most ``num_buckets`` padded lengths that need the least padding for ``lengths``.

    Args:
      lengths: The number of tokens of each row.
      num_buckets: The most padded lengths, and so the most compilations of a function of batches.

    Returns:
      Padded lengths, ascending multiples of 8 tokens; the last is at least the longest row.
    """
    if num_buckets < 1:
        raise ValueError(f"bucket_lengths: num_buckets must be >= 1, got {num_buckets}.")
    longest = int(lengths.max())
    multiple = _MULTIPLE * -(-longest // (_MULTIPLE * _MOST_LENGTHS))
    candidates = list(range(multiple, longest + multiple, multiple))
    # The number of rows that are at most as long as each candidate.
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
    prompts: Examples,
    lengths: tuple[int, ...],
    batch_size: int,
    seed: int,
    view: View = "training",
    start: int = 0,
) -> Iterator[Batch]:
    """Yield batches endlessly, in shuffled epochs; a batch has examples of similar length.

    Examples that do not fill a batch of their padded length move up to the next length. Fewer than
    one batch remain at the largest length, and are left out of the epoch.

    Args:
      prompts: N training examples.
      lengths: Padded lengths, from :func:`bucket_lengths` of ``prompts.lengths_of(view)``.
      batch_size: Examples of a batch, at most N.
      seed: Determines the order of every epoch.
      view: Which rows of an example to use, see :meth:`PromptSet.batch`. A loss needs
        ``"training"``, accuracy ``"candidates"``, and F1 of generated answers ``"prompt"``.
      start: The number of batches to skip at the beginning.

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
    prompts: Examples, lengths: tuple[int, ...], batch_size: int, view: View = "candidates"
) -> Iterator[Batch]:
    """Yield all examples with all their candidates, shorter ones first.

    Args:
      prompts: The examples.
      lengths: Padded lengths, from :func:`bucket_lengths`.
      batch_size: Places of a batch; places without an example have weight 0.
      view: ``"prompt"`` for a head of classes, which reads no candidates.
    """
    for length, members in _in_order(prompts.lengths_of(view), lengths, batch_size):
        yield prompts.batch(members, length, batch_size, view)


def decoding_batches(
    prompts: PromptSet, lengths: tuple[int, ...], batch_size: int
) -> Iterator[Decoding]:
    """Yield the prompts of all examples for decoding, shorter ones first, with their examples.

    Args:
      prompts: The examples.
      lengths: Padded lengths, from :func:`bucket_lengths` of ``prompts.prompt_lengths``.
      batch_size: Places of a batch; places without an example have weight 0.
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
        remaining = np.array([], np.int64)
        for length, members in groups:
            pool = rng.permutation(np.concatenate([remaining, members]))
            full = len(pool) // batch_size * batch_size
            batches += [
                (length, pool[start : start + batch_size]) for start in range(0, full, batch_size)
            ]
            remaining = pool[full:]
        for i in rng.permutation(len(batches)):
            yield batches[i]


def _in_order(
    row_lengths: np.ndarray, lengths: tuple[int, ...], batch_size: int
) -> Iterator[tuple[int, np.ndarray]]:
    for length, members in _groups(row_lengths, lengths):
        for start in range(0, len(members), batch_size):
            yield length, members[start : start + batch_size]


def _groups(row_lengths: np.ndarray, lengths: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    """Group examples by the shortest length that they fit; return (length, members) pairs."""
    places = np.searchsorted(lengths, row_lengths)
    return [(length, np.flatnonzero(places == i)) for i, length in enumerate(lengths)]

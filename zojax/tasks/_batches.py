"""Batches of a few fixed shapes: prompts of like length together, so that padding costs little.

Each shape of batch is one more compilation, so the lengths are few and chosen for the data at hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from zojax.tasks._prompt import PromptTokens
from zojax.tasks.rotten_tomatoes import Example

# Lengths are multiples of this many tokens, and at most this many of them are tried.
_MULTIPLE = 8
_MOST_LENGTHS = 64


class Batch(NamedTuple):
    """B examples as R rows of T tokens, R = B · C if a label word has several tokens, else B."""

    input_ids: np.ndarray  # int32 [R, T], padded on the right
    attention_mask: np.ndarray  # int32 [R, T]: 1 for a token, 0 for padding
    last: np.ndarray  # int32 [R]: where the prompt ends; the label word is predicted from here
    labels: np.ndarray  # int32 [B]
    weights: np.ndarray  # float32 [B]: 1 for an example, 0 for what fills the batch up


@dataclass(frozen=True)
class PromptSet:
    """Tokenised examples, and the batches they make.

    Attributes:
      tokens: The prompt's tokens; they decide how many rows an example takes.
      prompts: Token ids of each example's prompt.
      labels: int32 [N].
    """

    tokens: PromptTokens
    prompts: list[list[int]]
    labels: np.ndarray

    @classmethod
    def of(cls, examples: Sequence[Example], tokens: PromptTokens) -> PromptSet:
        """Tokenise ``examples``.

        Raises:
          ValueError: A label is no class of the prompt.
        """
        labels = np.array([example.label for example in examples], np.int32)
        classes = tokens.num_classes
        if labels.size == 0 or labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"PromptSet: labels must lie within 0 … {classes - 1}, one for each label word, "
                f"got {sorted(set(labels.tolist()))}."
            )
        return cls(tokens, tokens.encode([example.text for example in examples]), labels)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example's row, int64 [N]."""
        # The last token of a label word is predicted, never read.
        words = self.tokens.label_ids.shape[1] - 1
        return np.array([len(prompt) + words for prompt in self.prompts])

    def abstract_batch(self, length: int, size: int) -> Batch:
        """Return the shapes and dtypes of :meth:`batch`, to compile with."""
        rows = size if self.tokens.one_token else size * self.tokens.num_classes
        return Batch(
            input_ids=_abstract((rows, length), np.int32),
            attention_mask=_abstract((rows, length), np.int32),
            last=_abstract((rows,), np.int32),
            labels=_abstract((size,), np.int32),
            weights=_abstract((size,), np.float32),
        )

    def batch(self, members: np.ndarray, length: int, size: int) -> Batch:
        """Put the examples ``members`` into ``size`` places of ``length`` tokens."""
        places = np.concatenate([members, np.full(size - len(members), members[0])])
        if self.tokens.one_token:
            rows = [self.prompts[i] for i in places]
            last = [len(self.prompts[i]) - 1 for i in places]
        else:
            words = [
                ids[mask > 0].tolist()
                for ids, mask in zip(self.tokens.label_ids, self.tokens.label_mask, strict=True)
            ]
            rows = [self.prompts[i] + word[:-1] for i in places for word in words]
            last = [len(self.prompts[i]) - 1 for i in places for _ in words]
        input_ids = np.zeros((len(rows), length), np.int32)
        attention_mask = np.zeros((len(rows), length), np.int32)
        for row, ids in enumerate(rows):
            input_ids[row, : len(ids)] = ids
            attention_mask[row, : len(ids)] = 1
        weights = (np.arange(size) < len(members)).astype(np.float32)
        return Batch(
            input_ids, attention_mask, np.array(last, np.int32), self.labels[places], weights
        )


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
    prompts: PromptSet, lengths: tuple[int, ...], batch_size: int, seed: int
) -> Iterator[Batch]:
    """Yield batches without end: shuffled epochs of examples of like length.

    What does not fill a batch of its length goes up to the next length; what is left at the top,
    less than one batch, waits for another epoch.

    Args:
      prompts: The training examples, N of them.
      lengths: From :func:`bucket_lengths`.
      batch_size: Examples of a batch, at most N.
      seed: Decides the order of every epoch.

    Raises:
      ValueError: ``batch_size`` is outside 1 … N.
    """
    if not 1 <= batch_size <= len(prompts.prompts):
        raise ValueError(
            f"training_batches: batch_size must lie within 1 … {len(prompts.prompts)}, the number "
            f"of examples, got {batch_size}."
        )
    return _training_batches(prompts, _groups(prompts, lengths), batch_size, seed)


def _training_batches(
    prompts: PromptSet, groups: list[tuple[int, np.ndarray]], batch_size: int, seed: int
) -> Iterator[Batch]:
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
            length, members = batches[i]
            yield prompts.batch(members, length, batch_size)


def evaluation_batches(
    prompts: PromptSet, lengths: tuple[int, ...], batch_size: int
) -> Iterator[Batch]:
    """Yield every example once, by length; a batch's empty places weigh 0."""
    for length, members in _groups(prompts, lengths):
        for start in range(0, len(members), batch_size):
            yield prompts.batch(members[start : start + batch_size], length, batch_size)


def _abstract(shape: tuple[int, ...], dtype: type) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)


def _groups(prompts: PromptSet, lengths: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    """Return each padded length with the examples that fit it and no shorter one."""
    places = np.searchsorted(lengths, prompts.lengths)
    return [(length, np.flatnonzero(places == i)) for i, length in enumerate(lengths)]

"""The batches that evaluations read, of padded lengths that all splits share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zojax.lm.rewards import RewardSet
from zojax.lm.sequences import SequenceSet
from zojax.lm.tasks import (
    Examples,
    PromptSet,
    View,
    bucket_lengths,
    decoding_batches,
    evaluation_batches,
)
from zojax.lm.training._evaluation import Measured
from zojax.lm.training._reward_totals import ToWrite

# Most tokens of an evaluation's batch of rows that are no prompts.
_MOST_MEASURED = 16384


def measure_rewards(
    splits: Sequence[RewardSet], longest: int, num_buckets: int, batch_size: int
) -> list[Measured]:
    """Make batches of prompts to write completions of, with padded lengths that all share."""
    lengths = padded_lengths(splits, "prompt", longest, num_buckets)
    size = min(batch_size, max(map(len, splits)))
    batches = [evaluation_batches(split, lengths, size, "prompt") for split in splits]
    return [
        Measured((), [_to_write(split, batch) for batch in each])
        for split, each in zip(splits, batches, strict=True)
    ]


def _to_write(split: RewardSet, batch: Any) -> ToWrite:
    members = batch.members[batch.weights > 0].tolist()
    return ToWrite(batch, tuple(split.rows(members)))


def lengths_in_use(lengths: tuple[int, ...], rows: np.ndarray) -> tuple[int, ...]:
    """Padded lengths that are the shortest for a row: the others need no program."""
    return tuple(lengths[place] for place in np.unique(np.searchsorted(lengths, rows)))


def measure_sequences(
    splits: Sequence[SequenceSet], max_length: int, num_buckets: int, batch_size: int
) -> list[Measured]:
    """Make evaluation batches of several splits, with padded lengths that all of them share.

    Of long rows a batch has fewer than ``batch_size``: the logits of all tokens may be large.
    """
    lengths = padded_lengths(splits, "candidates", max_length, num_buckets)
    size = max(1, min(batch_size, max(map(len, splits)), _MOST_MEASURED // lengths[-1]))
    return [Measured(list(evaluation_batches(split, lengths, size)), ()) for split in splits]


def to_measure(
    splits: Sequence[PromptSet],
    max_length: int,
    num_buckets: int,
    batch_size: int,
    view: View = "candidates",
) -> list[Measured]:
    """Make evaluation batches of several splits, with padded lengths that all of them share."""
    rows = padded_lengths(splits, view, max_length, num_buckets)
    generates = splits[0].tokens.task.kind == "generation"
    room = max_length - splits[0].tokens.task.max_new_tokens  # prompts leave it for an answer
    prompts = padded_lengths(splits, "prompt", room, num_buckets) if generates else ()
    return [
        Measured(
            list(evaluation_batches(split, rows, batch_size, view)),
            list(decoding_batches(split, prompts, batch_size)) if generates else (),
        )
        for split in splits
    ]


def padded_lengths(
    sets: Sequence[Examples], view: View, longest: int, num_buckets: int
) -> tuple[int, ...]:
    """The lengths that a view of some examples is padded to, none beyond the longest."""
    rows = np.concatenate([prompts.lengths_of(view) for prompts in sets])
    # Buckets round lengths up, possibly beyond what the model has positions for.
    return tuple(min(n, longest) for n in bucket_lengths(rows, num_buckets))

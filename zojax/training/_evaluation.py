"""Accuracy and loss over a set of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zojax.models._language_model import Params
from zojax.tasks import Batch
from zojax.training._step import CompiledByShape


class Scores(NamedTuple):
    """How good a set of parameters is on some examples."""

    accuracy: float  # fraction predicted right
    loss: float  # mean cross entropy, nats
    examples: int  # how many were measured


def evaluate(totals: CompiledByShape, params: Params, batches: Sequence[Batch]) -> Scores:
    """Measure ``params`` on ``batches``. Cost: one forward pass a batch.

    Args:
      totals: ``(params, batch) -> Totals``.
      params: The parameters to measure.
      batches: At least one.
    """
    totals.prepare(*((params, batch) for batch in batches))
    # Read the sums only after every batch is under way, so that the device never waits for us.
    sums = [totals(params, batch) for batch in batches]
    loss, correct, examples = np.sum(
        [[float(x) for x in batch_sums] for batch_sums in sums], axis=0
    )
    return Scores(float(correct / examples), float(loss / examples), int(examples))

"""What a baseline comes to, and the steps that all of them share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zojax.lm.models import LanguageModel, load
from zojax.lm.tasks import Batch, Objective
from zojax.lm.training import CompiledTotals, FinetuneConfig, Observer, Scores, evaluate
from zojax.lm.training import Measured as ToMeasure


@dataclass(frozen=True)
class Measured:
    """What a baseline came to.

    Attributes:
      dev: Scores on the dev examples.
      test: Scores on the test examples.
      seconds: From the call to the result, with loading and compiling.
      rows_read: Rows that the model read, each alone: an example, or an example with one of its
        candidates; the tokens that it writes do not count. All examples do, those on dev and test
        too. (A fine-tuning run counts forward passes of a batch, in training alone.)
      chosen: What the baseline settled on, by name.
    """

    dev: Scores
    test: Scores
    seconds: float
    rows_read: int
    chosen: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts and numbers, for JSON."""
        return {
            "dev": self.dev.as_dict(),
            "test": self.test.as_dict(),
            "seconds": round(self.seconds, 2),
            "rows_read": self.rows_read,
            "chosen": dict(self.chosen),
        }


def load_untuned(name: str, config: FinetuneConfig, observer: Observer) -> LanguageModel:
    """Load the model of ``config`` for the baseline ``name``.

    Raises:
      ValueError: ``config`` has an adapter.
    """
    if config.tuned.adapter != "none":
        raise ValueError(
            f"{name}: adapter must be none, as the baseline tunes nothing beside the model, got "
            f"{config.tuned.adapter}. Leave it out."
        )
    observer.status(f"loading {config.model}")
    return load(config.model, dtype=config.dtype, from_pt=config.from_pt)


def measure(
    model: LanguageModel,
    task: Objective,
    dev: ToMeasure,
    test: ToMeasure,
    observer: Observer,
    *,
    begin: float,
    chosen: Mapping[str, float],
) -> Measured:
    """Measure a model as it is.

    Args:
      model: The model.
      task: Scores a batch.
      dev: All dev examples.
      test: All test examples.
      observer: Hears what begins.
      begin: When the baseline was called, by ``time.perf_counter``.
      chosen: What the baseline settled on.
    """
    totals = CompiledTotals(task, observer.status)
    return Measured(
        dev=evaluate(totals, model.params, dev),
        test=evaluate(totals, model.params, test),
        seconds=time.perf_counter() - begin,
        rows_read=sum(map(_rows, [*dev.batches, *test.batches])),
        chosen=chosen,
    )


def _rows(batch: Batch) -> int:
    """The rows of a batch without those that fill it up."""
    return len(batch.input_ids) // len(batch.weights) * int(batch.weights.sum())

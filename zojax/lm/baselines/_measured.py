"""The result of a baseline, and the functions that all baselines share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zojax.lm.models import LanguageModel
from zojax.lm.rewards import RewardTask
from zojax.lm.sequences import NextToken
from zojax.lm.tasks import Batch, Objective
from zojax.lm.training import (
    FinetuneConfig,
    Observer,
    Prepared,
    Scores,
    evaluate,
    load_model,
    prepare,
    totals_of,
)
from zojax.lm.training import Measured as ToMeasure


@dataclass(frozen=True)
class Measured:
    """The result of a baseline.

    Attributes:
      dev: Scores on the dev examples.
      test: Scores on the test examples.
      seconds: Time from the call to the result, including loading and compiling.
      rows_read: Rows that the model read: one for each example, or for each of its candidates, in
        train, dev and test; generated tokens do not count. (A fine-tuning run counts forward passes
        over a batch, and only those of training.)
      chosen: Values that the baseline chose, by name.
    """

    dev: Scores
    test: Scores
    seconds: float
    rows_read: int
    chosen: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain dicts and numbers, for JSON."""
        return {
            "dev": self.dev.as_dict(),
            "test": self.test.as_dict(),
            "seconds": round(self.seconds, 2),
            "rows_read": self.rows_read,
            "chosen": dict(self.chosen),
        }


def prepare_untuned(name: str, config: FinetuneConfig) -> Prepared:
    """Read and check the data of the baseline ``name``, before its model is loaded.

    Raises:
      ValueError: ``config`` has an adapter, or a setting or a row of data is wrong.
    """
    if config.tuned.adapter != "none":
        raise ValueError(
            f"{name}: adapter must be none, as the baseline does not tune an adapter, got "
            f"{config.tuned.adapter}. Leave it out."
        )
    if config.scoring.reward is not None:
        raise ValueError(
            f"{name}: reward must be left out, as the baseline scores no completions, got "
            f"{config.scoring.reward}. A run measures the untuned model before its first step."
        )
    return prepare(config)


def load_untuned(config: FinetuneConfig, observer: Observer) -> LanguageModel:
    """Load the model of ``config``."""
    observer.status(f"loading {config.model}")
    return load_model(config)


def measure(
    model: LanguageModel,
    task: Objective | NextToken | RewardTask,
    dev: ToMeasure,
    test: ToMeasure,
    observer: Observer,
    *,
    begin: float,
    chosen: Mapping[str, float],
) -> Measured:
    """Measure a model with its own parameters.

    Args:
      model: The model.
      task: The objective, which scores a batch.
      dev: All dev examples.
      test: All test examples.
      observer: Called with a line for each compilation.
      begin: The time at which the baseline was called, by ``time.perf_counter``.
      chosen: Values that the baseline chose.
    """
    totals = totals_of(task, observer.status)
    return Measured(
        dev=evaluate(totals, model.params, dev),
        test=evaluate(totals, model.params, test),
        seconds=time.perf_counter() - begin,
        rows_read=sum(map(_rows, [*dev.batches, *test.batches])),
        chosen=chosen,
    )


def _rows(batch: Batch) -> int:
    """Count the rows of a batch, without padding examples."""
    return len(batch.input_ids) // len(batch.weights) * int(batch.weights.sum())

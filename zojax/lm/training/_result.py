"""The results of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zojax.lm.training._evaluation import Scores
from zojax.lm.training._start import Start


@dataclass(frozen=True)
class Result:
    """The results of a run.

    Attributes:
      folder: The run's folder.
      model_folder: The tuned model, in transformers' layout.
      steps: Steps taken.
      best_step: The step whose parameters scored best on dev; 0 for the initial parameters.
      skipped: Steps whose loss or slopes were not finite.
      signal: The number of the signal that ended the run early; 0 if none did.
      zero_shot: Test scores before the first step, those of the start. Like ``tuned`` and
        ``best``, None if ``report`` leaves them out.
      tuned: Test scores after the last step; None for an interrupted run.
      best: Test scores of the parameters of ``best_step``; None for an interrupted run.
      seconds: Seconds spent: ``total``, and its parts ``load``, ``start``, ``search``,
        ``compile`` and ``steps``.
      start: Where tuning started from; None for a task without classes.
    """

    folder: Path
    model_folder: Path
    steps: int
    best_step: int
    skipped: int
    signal: int
    zero_shot: Scores | None
    tuned: Scores | None
    best: Scores | None
    seconds: dict[str, float]
    start: Start | None = None


def scores_as_json(value: Scores | None) -> dict[str, float] | None:
    return value and value.as_dict()


def result_as_json(result: Result) -> dict[str, Any]:
    return {
        "steps": result.steps,
        "best_step": result.best_step,
        "complete": not result.signal,
        "skipped": result.skipped,
        **({} if result.start is None else {"start": result.start.as_json()}),
        "test": {
            "zero_shot": scores_as_json(result.zero_shot),
            "tuned": scores_as_json(result.tuned),
            "best": scores_as_json(result.best),
        },
        "seconds": {name: round(value, 2) for name, value in result.seconds.items()},
    }

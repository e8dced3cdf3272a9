"""The runs of a study, and how each is made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from zojax.lm import baselines
from zojax.lm.comparison._study import Cell
from zojax.lm.training import (
    FinetuneConfig,
    NonFiniteLossError,
    configure,
    finetune,
    load_to_tune,
    passes_of_a_step,
    resolve,
)

Stage = Literal["tune", "report"]
Record = dict[str, Any]

_BASELINES = {
    "zero-shot": baselines.zero_shot,
    "in-context": baselines.in_context,
    "linear-probe": baselines.linear_probe,
}


@dataclass(frozen=True)
class Run:
    """One run of a cell.

    Attributes:
      cell: The cell that the run belongs to.
      stage: ``"tune"`` for a run that chooses from the cell's grid, ``"report"`` for one whose
        score is reported.
      options: Options of finetune, without the seed and those that follow from the budget.
      point: The options that the grid varies, with their values in this run.
      seed: The run's seed.
    """

    cell: Cell
    stage: Stage
    options: Mapping[str, Any]
    point: Mapping[str, Any]
    seed: int

    @cached_property
    def config(self) -> FinetuneConfig:
        """The run's configuration, with as many steps as the budget of forward passes allows.

        Raises:
          ValueError: An option is wrong, or the budget is less than the cost of a step.
        """
        options = {**self.options, "seed": self.seed}
        if self.stage == "tune":
            options["test_size"] = 1  # the choice depends on dev scores alone
        config = configure(options)
        if self.cell.baseline is not None:
            return config
        config = resolve(config)
        budget, cost = self.cell.study.forward_passes, _cost_of_a_step(config)
        if budget < cost:
            raise ValueError(
                f"compare: forward_passes must be enough for a step, got {budget}; a step of "
                f"{config.optimizer} takes {cost}."
            )
        steps = budget // cost
        every = max(1, steps // self.cell.study.evaluations)
        return dataclasses.replace(config, steps=steps, eval_every=every)

    @cached_property
    def key(self) -> str:
        """A hash of all that determines the run's result; it is the same in every process."""
        how = {"baseline": self.cell.baseline, "report": self.cell.study.report}
        settings = changed(self.config) | how
        text = json.dumps(settings, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def measure(self) -> Record:
        """Make the run.

        Returns:
          The run's key, cell, stage, seed and point, the dev curve (passes, seconds, score), and
          the scores on dev and, if they are reported, on test. A run whose loss was not finite
          scores 0.
        """
        record: Record = {
            "key": self.key,
            **self.cell.name,
            "stage": self.stage,
            "seed": self.seed,
            "point": dict(self.point),
            **self._scores(),
        }
        if self.stage == "tune":
            del record["test"]  # the score of a single example
        return record

    def _scores(self) -> Record:
        baseline = self.cell.baseline
        if baseline is not None:
            measured = _BASELINES[baseline](self.config)
            return {
                "steps": 0,
                "dev": measured.dev.metric,
                "test": measured.test.metric,
                "seconds": round(measured.seconds, 1),
                "chosen": measured.chosen,
            }
        with tempfile.TemporaryDirectory() as folder:
            config = dataclasses.replace(self.config, output=Path(folder) / "run")
            try:
                return _tuned(config, self.cell.study.report)
            except NonFiniteLossError as error:
                return {"steps": config.num_steps, "dev": 0.0, "test": 0.0, "failed": str(error)}


def _cost_of_a_step(config: FinetuneConfig) -> int:
    """The cost of a step of a resolved run, in forward passes."""
    params: Any = {}
    if config.optimizer == "zo_sgd_blockwise":  # only its cost depends on the parameters
        tuned = load_to_tune(config)
        params = tuned.trainable(tuned.model.params)
    return passes_of_a_step(config, params).cost


def changed(settings: Any) -> dict[str, Any]:
    """The settings that differ from their defaults, so that adding a setting changes no key."""
    found: dict[str, Any] = {}
    usual = type(settings)()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found |= changed(value)
        elif value != getattr(usual, field.name):
            found[field.name] = value
    return found


def _tuned(config: FinetuneConfig, report: Literal["best", "last"]) -> Record:
    result = finetune(config, report=report)
    scores = result.best if report == "best" else result.tuned
    if scores is None:
        raise KeyboardInterrupt  # a signal ended finetune early, which then returns no scores
    lines = (result.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    measured = [line for line in map(json.loads, lines) if "dev_accuracy" in line]
    passes = _cost_of_a_step(config)
    curve = [
        [line["step"] * passes, round(line.get("seconds", 0.0), 2), _metric(line)]
        for line in measured
    ]
    chosen = max(measured, key=_quality) if report == "best" else measured[-1]
    return {
        "steps": result.steps,
        "forward_passes": result.steps * passes,
        "dev": _metric(chosen),
        "dev_loss": chosen["dev_loss"],
        "test": scores.metric,
        "best_step": result.best_step,
        "seconds": round(result.seconds["total"], 1),
        "curve": curve,
    }


def _metric(line: Record) -> float:
    """The score that a run is compared by: F1 where answers are generated, else accuracy."""
    return line.get("dev_f1", line["dev_accuracy"])


def _quality(line: Record) -> tuple[float, float]:
    return _metric(line), -line["dev_loss"]

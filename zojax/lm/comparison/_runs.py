"""The runs that a study is made of, and what each comes to."""

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
      cell: What it belongs to.
      stage: ``"tune"`` chooses from the cell's grid, ``"report"`` goes into the table.
      options: Of finetune, but for the seed and what follows from the budget.
      point: Those of them that its grid varies.
      seed: Of the run.
    """

    cell: Cell
    stage: Stage
    options: Mapping[str, Any]
    point: Mapping[str, Any]
    seed: int

    @cached_property
    def config(self) -> FinetuneConfig:
        """All of the run: as many steps as the budget of forward passes buys.

        Raises:
          ValueError: An option is wrong, or the budget does not buy a step.
        """
        options = {**self.options, "seed": self.seed}
        if self.stage == "tune":
            options["test_size"] = 1  # what chooses looks at dev alone
        config = configure(options)
        if self.cell.baseline is not None:
            return config
        config = resolve(config)
        budget, cost = self.cell.study.forward_passes, _cost_of_a_step(config)
        if budget < cost:
            raise ValueError(
                f"compare: forward_passes must buy a step, got {budget}; a step of "
                f"{config.optimizer} takes {cost}."
            )
        steps = budget // cost
        every = max(1, steps // self.cell.study.evaluations)
        return dataclasses.replace(config, steps=steps, eval_every=every)

    @cached_property
    def key(self) -> str:
        """Tells the run from every other; the same in every process."""
        how = {"baseline": self.cell.baseline, "report": self.cell.study.report}
        settings = changed(self.config) | how
        text = json.dumps(settings, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def measure(self) -> Record:
        """Make the run.

        Returns:
          What tells it from the others, the dev curve (passes, seconds, score), and scores on dev
          and, where it is to be reported, on test. A run that breaks down scores 0.
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
            del record["test"]  # of a single example
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
                return {"steps": config.steps, "dev": 0.0, "test": 0.0, "failed": str(error)}


def _cost_of_a_step(config: FinetuneConfig) -> int:
    """Forward passes that a step of a resolved run is worth."""
    params: Any = {}
    if config.optimizer == "zo_sgd_blockwise":  # the others cost the same for all parameters
        tuned = load_to_tune(config)
        params = tuned.moving(tuned.model.params)
    return passes_of_a_step(config, params).cost


def changed(settings: Any) -> dict[str, Any]:
    """What differs from the defaults, so that a setting that is new changes no key."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found |= changed(value)
        elif value != field.default:
            found[field.name] = value
    return found


def _tuned(config: FinetuneConfig, report: Literal["best", "last"]) -> Record:
    result = finetune(config, report=report)
    scores = result.best if report == "best" else result.tuned
    if scores is None:
        raise KeyboardInterrupt  # finetune has ended early, and quietly
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
    """What the task is judged by: F1 where answers are written, else accuracy."""
    return line.get("dev_f1", line["dev_accuracy"])


def _quality(line: Record) -> tuple[float, float]:
    return _metric(line), -line["dev_loss"]

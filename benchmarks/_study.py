"""Fine-tuning runs that are measured once: a study that is cut off goes on from there."""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from zojax.lm.training import (
    DEFAULTS,
    DataConfig,
    FinetuneConfig,
    NonFiniteLossError,
    OptimizerName,
    finetune,
)

# The committed runs were measured with transformers' Flax classes, whose rounding is another than
# that of this package's models.
MEASURED_WITH = "transformers"


class Job(NamedTuple):
    """A model that a study tunes on film reviews.

    Attributes:
      key: What the records of its runs begin with.
      seeds: How many.
      rate: The learning rate; None for the default.
      settings: Of the run.
    """

    key: dict[str, Any]
    seeds: int
    rate: float | None
    settings: dict[str, Any]

    def config(self, config: FinetuneConfig) -> FinetuneConfig:
        """The settings of a run of this model."""
        config = dataclasses.replace(config, **self.settings)
        # Of all ways that are compared the rate is the same, and constant.
        hyper = dataclasses.replace(config.hyper, schedule="constant")
        if self.rate is not None:
            hyper = dataclasses.replace(hyper, learning_rate=self.rate)
        return dataclasses.replace(config, hyper=hyper)


OPT_MINI = Job({}, 3, None, {})
SMOLLM2 = Job(
    {"model": "smollm2-135m"},
    1,
    # 16 times the default, which changes too little in a few hundred steps.
    6.9e-4,
    {
        "model": "smollm2-135m",
        "data": DataConfig(
            train_size=512, dev_size=100, test_size=300, max_length=48, num_buckets=1
        ),
        "batch_size": 4,
        "eval_every": 100,
    },
)
ABOUT = (
    "Mean ± standard error over the seeds; opt-mini: 16 sentences a step, 1,000 test sentences, "
    "the default learning rate; SmolLM2-135M: 4 and 300, 16 times the default rate."
)


def finished(records: Path, key: dict[str, Any]) -> list[dict[str, Any]]:
    """The records that a study has so far, of one model, that begin with ``key``."""
    lines = records.read_text(encoding="utf-8").splitlines() if records.is_file() else []
    found = [json.loads(line) for line in lines]
    return [record for record in found if _is_of(record, key)]


def _is_of(record: dict[str, Any], key: dict[str, Any]) -> bool:
    return key.items() <= record.items() and record.get("model") == key.get("model")


def run(records: Path, key: dict[str, Any], config: FinetuneConfig) -> dict[str, Any]:
    """The record of a run, whose output folder is not kept; see :func:`once`."""
    return once(records, key, lambda: _measured(config))


def once(
    records: Path, key: dict[str, Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The record of what was measured before, or is measured now.

    Args:
      records: JSON lines, one for each measurement.
      key: What tells it from the others; the record begins with it.
      measure: Makes the rest of the record.
    """
    for record in finished(records, key):
        return record
    record = key | measure()
    records.parent.mkdir(exist_ok=True)
    with records.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record), flush=True)
    return record


def as_published(optimizer: OptimizerName) -> dict[str, Any]:
    """Settings of MeZO and its kin as their papers have them: the slopes are not scaled."""
    return {"slope_rule": "none"} if "slope_rule" in DEFAULTS[optimizer] else {}


def best_rate(grid: list[dict[str, Any]]) -> float:
    """The learning rate whose run did best on dev."""
    return max(grid, key=lambda record: (record["dev"], -record["dev_loss"]))["learning_rate"]


def mean_and_error(values: list[float]) -> str:
    """Mean ± standard error; a single value has none."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.1f} ± {error:.1f}"


def _measured(config: FinetuneConfig) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = finetune(dataclasses.replace(config, output=Path(folder) / "run"))
        except NonFiniteLossError as error:
            return {"dev": 0.0, "dev_loss": float("inf"), "failed": str(error)}
        metrics = (result.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        searched = result.folder / "learning_rate.json"
        search = json.loads(searched.read_text(encoding="utf-8")) if searched.is_file() else {}
    if result.tuned is None or result.best is None:
        raise KeyboardInterrupt
    lines = [json.loads(line) for line in metrics]
    last = lines[-1]
    metric = "dev_f1" if "dev_f1" in last else "dev_accuracy"
    return {
        "forward_passes": last["forward_passes"],
        # Those of fitting a start, and of searching the learning rate.
        "passes_before": search.get("forward_passes", 0)
        + (result.start.all_passes if result.start else 0),
        "zero_shot": result.zero_shot.metric,
        "dev": last[metric],
        "dev_loss": last["dev_loss"],
        "tuned": result.tuned.metric,
        "best": result.best.metric,
        "best_step": result.best_step,
        "dev_curve": [[line["step"], line[metric]] for line in lines if metric in line],
        "seconds": round(result.seconds["total"], 1),
        "seconds_in_steps": round(result.seconds["steps"], 1),
    }

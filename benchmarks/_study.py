"""Fine-tuning runs that are measured once: a study that is cut off goes on from there."""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zojax.lm.training import (
    DEFAULTS,
    FinetuneConfig,
    NonFiniteLossError,
    OptimizerName,
    finetune,
)

# The committed runs were measured with transformers' Flax classes, whose rounding is another than
# that of this package's models.
MEASURED_WITH = "transformers"


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
    for line in records.read_text(encoding="utf-8").splitlines() if records.is_file() else []:
        record = json.loads(line)
        if key.items() <= record.items():
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
    """Mean ± standard error."""
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

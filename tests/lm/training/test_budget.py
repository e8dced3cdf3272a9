"""How long a run takes: by passes or patience, and large batches read in parts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zojax.lm.training import FinetuneConfig, HyperParameters, Observer, finetune, resolve
from zojax.trajectory import read_log

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("optimizer", "hyper", "cost"),
    [
        ("mezo", {}, 2),
        ("mezo", {"num_queries": 3}, 6),
        ("mezo", {"num_queries": 3, "difference": "forward"}, 4),
        ("adam", {}, 3),
    ],
)
def test_passes_are_spent_on_whole_steps(optimizer: str, hyper: dict[str, Any], cost: int):
    config = FinetuneConfig(optimizer=optimizer, passes=50, hyper=HyperParameters(**hyper))
    assert resolve(config).steps == 50 // cost


@pytest.mark.quick
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passes": 50, "steps": 10}, "passes must not be given with steps, got 50 and 10"),
        ({"minutes": 1.5, "passes": 50}, "minutes must not be given with passes, got 1.5 and 50"),
        ({"minutes": 0.0}, "minutes must be positive, got 0.0"),
        ({"steps": 0}, "steps must be >= 1, got 0"),
        ({"planned_steps": 0}, "planned_steps must be >= 1, got 0"),
        ({"passes": 1}, "passes must be enough for a step of zo_adamu, 2, got 1"),
        ({"passes": 50, "optimizer": "zo_sgd_blockwise"}, "passes must not be given for zo_sgd_bl"),
        ({"passes": 0}, "passes must be >= 1, got 0"),
        ({"patience": 0}, "patience must be >= 1, got 0"),
        ({"micro_batch": 0}, "micro_batch must be >= 1, got 0"),
        ({"micro_batch": 4, "parallel": "data"}, "micro_batch must not be given with mesh or"),
        ({"micro_batch": 4, "mesh": "data=2"}, "micro_batch must not be given with mesh or"),
        ({"micro_batch": 4, "objective": "f1"}, "micro_batch must be for a loss that is compiled"),
    ],
)
def test_what_makes_no_budget_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        resolve(FinetuneConfig(**settings))


def test_a_run_ends_that_does_not_improve(base: FinetuneConfig, tmp_path: Path):
    """At learning rate 0 no evaluation is better than that before the first step."""
    still = dataclasses.replace(
        base, steps=30, patience=2, hyper=HyperParameters(learning_rate=0.0), output=tmp_path / "a"
    )
    result = finetune(still)
    assert (result.steps, result.best_step) == (6, 0)
    assert result.tuned == result.zero_shot
    assert json.loads((result.folder / "results.json").read_text())["complete"]
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 6


def test_a_batch_in_parts_is_the_batch(base: FinetuneConfig, tmp_path: Path):
    losses = []
    for size, name in ((None, "whole"), (2, "parts")):
        config = dataclasses.replace(base, micro_batch=size, output=tmp_path / name)
        folder = finetune(config).folder
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        losses.append([line["loss"] for line in lines if "loss" in line])
    np.testing.assert_allclose(*losses, rtol=1e-4)
    with pytest.raises(
        ValueError, match="micro_batch must divide the 8 examples of a batch, got 3"
    ):
        finetune(dataclasses.replace(base, micro_batch=3, output=tmp_path / "c"))


class Told(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def status(self, message: str) -> None:
        self.lines.append(message)


def test_minutes_become_steps_by_the_time_of_a_few(base: FinetuneConfig, tmp_path: Path):
    told = Told()
    config = dataclasses.replace(base, steps=None, minutes=0.01, output=tmp_path / "timed")
    result = finetune(config, told)
    (line,) = (line for line in told.lines if " fit into " in line)
    steps, seconds = int(line.split()[0]), float(line.split()[3])
    assert steps == pytest.approx(0.6 / seconds, rel=0.02, abs=1)
    config = json.loads((result.folder / "config.json").read_text())
    assert (config["steps"], config["minutes"]) == (steps, 0.01)
    # Timing leaves no trace: it is the run of as many steps.
    other = dataclasses.replace(base, steps=result.steps, output=tmp_path / "given")
    assert trained(result.folder) == trained(finetune(other).folder)


def test_a_run_ends_when_its_minutes_are_over(base: FinetuneConfig, tmp_path: Path, monkeypatch):
    """Steps may take longer than those that were timed."""
    monkeypatch.setattr("zojax.lm.training._trial.Trial.take", lambda self, optimizer: ([], 1e-6))
    told = Told()
    config = dataclasses.replace(base, steps=None, minutes=0.002, output=tmp_path / "late")
    result = finetune(config, told)
    assert result.steps < 120_000
    assert result.steps % config.eval_every == 0
    assert f"ending at step {result.steps}: 0.002 minutes are over" in told.lines
    assert json.loads((result.folder / "results.json").read_text())["complete"]


def trained(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def records(folder: Path) -> np.ndarray:
    return read_log(folder / "trajectory.log").scalars


@pytest.mark.parametrize("optimizer", ["mezo", "adam"])
def test_a_run_may_be_extended(optimizer, base: FinetuneConfig, tmp_path: Path):
    """It goes on, complete or not, to the bits of a run that was planned to be that long."""
    config = dataclasses.replace(base, optimizer=optimizer, output=tmp_path / "run")
    finetune(config)
    first = finetune(FinetuneConfig(resume=tmp_path / "run", steps=12))
    assert first.steps == 12
    whole = finetune(dataclasses.replace(config, steps=12, output=tmp_path / "whole"))
    assert trained(first.folder) == trained(whole.folder)
    names = ("step", "loss", "dev_loss")
    assert [[line.get(name) for name in names] for line in metrics(first.folder)] == [
        [line.get(name) for name in names] for line in metrics(whole.folder)
    ]
    assert first.best == whole.best
    with pytest.raises(ValueError, match="steps must be more than the run's 12, got 12"):
        finetune(FinetuneConfig(resume=first.folder, steps=12))
    with pytest.raises(ValueError, match=r"has taken all of its 12 steps\. Give more: --resume"):
        finetune(FinetuneConfig(resume=first.folder))
    with pytest.raises(ValueError, match="resume must be given alone, or with a larger budget"):
        finetune(FinetuneConfig(resume=first.folder, steps=20, seed=1))


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [*map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]


def test_an_extended_run_anneals_as_it_was_planned(base: FinetuneConfig, tmp_path: Path):
    config = dataclasses.replace(base, optimizer="zo_adamu", output=tmp_path / "run")
    before = records(finetune(config).folder)
    after = records(finetune(FinetuneConfig(resume=tmp_path / "run", passes=20)).folder)
    assert (len(before), len(after)) == (6, 10)
    assert np.array_equal(after[:6], before)
    planned = dataclasses.replace(config, steps=10, planned_steps=6, output=tmp_path / "planned")
    assert trained(finetune(planned).folder) == trained(tmp_path / "run")


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_decreasing_rate_is_extended_at_its_last(
    schedule: Any, base: FinetuneConfig, tmp_path: Path
):
    hyper = HyperParameters(learning_rate=1e-3, schedule=schedule)
    config = dataclasses.replace(base, hyper=hyper, output=tmp_path / "run")
    finetune(FinetuneConfig(resume=finetune(config).folder, steps=9))
    planned = dataclasses.replace(config, steps=9, planned_steps=6, output=tmp_path / "planned")
    assert trained(finetune(planned).folder) == trained(tmp_path / "run")

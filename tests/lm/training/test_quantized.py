"""Runs over integers: what moves is measured, saved and resumed, and they do not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from starts import Killed, Watcher

from zojax import quantized
from zojax.lm.prediction import load_run
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    evaluate_run,
    export_run,
    finetune,
    load_to_tune,
    replay_run,
    resolve,
)
from zojax.lm.training._rate import with_rate

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

SUBSPACE = HyperParameters(learning_rate=3e-3, subspace_rank=2)


@pytest.fixture
def config(tiny_opt: Path, tmp_path: Path) -> FinetuneConfig:
    for name, count in (("train", 24), ("test", 16)):
        rows = "\n".join(f"{('film', 'story')[i % 2]} a It {i},{i % 2}" for i in range(count))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "test")}
    return FinetuneConfig(
        model=str(tiny_opt),
        quantize="int4",
        optimizer="mezo",
        steps=11,
        batch_size=4,
        eval_every=4,
        eval_batch_size=16,
        data=DataConfig(task="rotten-tomatoes", num_buckets=1, **files),
        output=tmp_path / "run",
    )


TUNED: dict[str, dict[str, Any]] = {
    "scales": {"hyper": HyperParameters(learning_rate=3e-2, slope_rule="clip")},
    "subspace": {"hyper": SUBSPACE},
    "lora": {"tuned": AdapterConfig("lora", rank=4)},
    "prefix": {"tuned": AdapterConfig("prefix", length=2)},
}


def weights(folder: Path) -> dict[str, Any]:
    return {
        name: leaf
        for file in folder.glob("*.safetensors")
        for name, leaf in load_file(file).items()
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        np.testing.assert_array_equal(leaf, other[name])


@pytest.mark.parametrize(
    "name", ["scales", "subspace", "lora", pytest.param("prefix", marks=pytest.mark.slow)]
)
def test_a_killed_run_and_a_replay_end_as_the_run_did(
    config: FinetuneConfig, name: str, tmp_path: Path
):
    config = dataclasses.replace(config, **TUNED[name])
    result = finetune(config)
    found = weights(result.model_folder)

    killed = dataclasses.replace(config, output=tmp_path / "killed")
    with pytest.raises(Killed):
        finetune(killed, Watcher(kill_at=8))
    resumed = finetune(FinetuneConfig(resume=tmp_path / "killed"))
    same(found, weights(resumed.model_folder))
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    assert len({x["dev_loss"] for x in map(json.loads, lines) if "dev_loss" in x}) > 1

    replayed = replay_run(config.model, result.folder, tmp_path / "replayed")
    same(found, weights(replayed.folder))
    # What was measured at the end is what was saved, and what is read again: an adapter with the
    # integers that it was tuned on.
    assert result.tuned is not None
    again = evaluate_run(result.folder)["tuned"].scores
    np.testing.assert_allclose(again.loss, result.tuned.loss, rtol=1e-6)
    model = load_run(result.folder)._saved.model
    assert quantized.any_quantized(model.params) == (config.tuned.adapter != "none")


@pytest.mark.parametrize("name", ["scales", "subspace"])
def test_the_weights_of_a_run_are_saved_as_arrays(config: FinetuneConfig, name: str):
    config = dataclasses.replace(config, **TUNED[name])
    result = finetune(config)
    tuned = load_to_tune(resolve(config))
    before = tuned.model.params["layers"]["mlp"]["up_proj"]["kernel"]
    plain = {**config.__dict__, "quantize": None, "model": str(result.model_folder)}
    after = load_to_tune(resolve(FinetuneConfig(**plain))).model.params
    moved = after["layers"]["mlp"]["up_proj"]["kernel"] - before.dequantized()
    assert float(jnp.abs(moved).max()) > 0
    still = after["norm"]["scale"] == tuned.model.params["norm"]["scale"]
    assert bool(still.all()) == (name == "scales")
    if name == "scales":
        # Each block of weights is the same integers times one number.
        share = np.asarray(moved) / np.where(before.qvalue == 0, 1, before.dequantized())
        blocks = share.reshape(before.scale.shape[0], before.scale.shape[1], -1, share.shape[-1])
        there = np.asarray(before.qvalue != 0).reshape(blocks.shape)
        low = np.where(there, blocks, np.inf).min(2)
        high = np.where(there, blocks, -np.inf).max(2)
        np.testing.assert_allclose(low, high, atol=1e-4)


def test_a_lora_is_merged_into_the_dequantized_weights(config: FinetuneConfig, tmp_path: Path):
    config = dataclasses.replace(config, **TUNED["lora"])
    result = finetune(config)
    merged = export_run(result.folder, tmp_path / "merged", merge_adapter=True)
    plain = FinetuneConfig(model=str(merged), data=config.data, output=tmp_path / "none")
    exported = load_to_tune(resolve(plain)).model.params
    base = load_to_tune(resolve(config)).model.params["model"]
    np.testing.assert_allclose(
        exported["layers"]["mlp"]["up_proj"]["kernel"],
        base["layers"]["mlp"]["up_proj"]["kernel"].dequantized(),
        atol=1e-7,
    )


def test_a_checkpoint_has_no_integers(config: FinetuneConfig):
    tuned = load_to_tune(resolve(config))
    params = tuned.model.params
    moving = tuned.moving(params)
    assert all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(moving))
    whole = tuned.full(moving, params)
    jax.tree.map(np.testing.assert_array_equal, whole, params)


def test_backpropagation_reaches_an_adapter(config: FinetuneConfig):
    config = dataclasses.replace(config, optimizer="adam", **TUNED["lora"])
    result = finetune(dataclasses.replace(config, steps=4, eval_every=2))
    assert result.tuned is not None
    assert result.zero_shot is not None
    assert result.tuned.loss != result.zero_shot.loss


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "bits": (dict(quantize="int2"), "quantize must be one of int8, int4, got 'int2'"),
    "mesh": (dict(mesh="model=2"), "quantize must not be given with mesh, got int4"),
    "classes": (dict(implementation="transformers"), "quantize must not be given with impl"),
    "adam": (
        dict(optimizer="adam"),
        "quantize must be with an adapter, or subspace_rank, for adam",
    ),
    "scales": (
        dict(optimizer="zo_adamu"),
        "quantize must be with an adapter, or subspace_rank, for zo_adamu",
    ),
    "blocks": (
        dict(optimizer="zo_sgd_blockwise", hyper=HyperParameters(subspace_rank=2)),
        "quantize must be with an adapter for zo_sgd_blockwise, got int4 without",
    ),
    "refresh": (
        dict(hyper=HyperParameters(subspace_rank=2, subspace_refresh=5)),
        "subspace_refresh must not be given with quantize, got 5",
    ),
    "decay": (dict(hyper=HyperParameters(weight_decay=0.1)), "weight_decay must be 0 with quan"),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str):
    settings, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"^finetune: {message}"):
        FinetuneConfig(**{"quantize": "int4", "optimizer": "mezo", **settings})


def test_the_usual_rate_of_scales_is_a_share(config: FinetuneConfig):
    params = load_to_tune(resolve(config)).model.params
    plain = quantized.dequantize(params)
    scales, subspace, all_ = (
        with_rate(resolve(one), of).hyper.learning_rate
        for one, of in (
            (config, params),
            (dataclasses.replace(config, hyper=HyperParameters(subspace_rank=2)), params),
            (dataclasses.replace(config, quantize=None), plain),
        )
    )
    assert scales is not None
    assert subspace == all_ == pytest.approx(scales / 100)

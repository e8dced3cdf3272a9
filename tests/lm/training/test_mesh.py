"""Runs whose model is sharded over the eight devices of the tests' CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import write_tiny_opt
from sets import slow_except

import zojax.lm.models
from zojax.lm.training import (
    AdapterConfig,
    FinetuneConfig,
    HyperParameters,
    Observer,
    Result,
    Tick,
    evaluate_run,
    finetune,
    replay_run,
)
from zojax.lm.training._tuned import load_saved, load_to_tune, spread_of

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

MESHES = {
    "tensor-parallel": dict(mesh="data=2,model=4", layout="tensor-parallel"),
    "fully sharded": dict(mesh="data=8", layout="fully-sharded"),
    "both": dict(mesh="fsdp=2,model=2"),  # four of the eight devices
}
VARIANTS: dict[str, dict[str, Any]] = {
    "mezo": dict(optimizer="mezo"),
    "zo_adamu": dict(optimizer="zo_adamu"),
    "blocks": dict(optimizer="zo_sgd_blockwise"),
    # Not Adam, which would make steps of the rounding of gradients that are zero.
    "sgd": dict(optimizer="sgd", hyper=HyperParameters(learning_rate=1e-2)),
    "lora": dict(optimizer="mezo", tuned=AdapterConfig("lora", rank=2)),
    "prefix": dict(optimizer="mezo", tuned=AdapterConfig("prefix", length=2)),
}
CASES = {
    **{f"{mesh}-zo_adamu": (mesh, "zo_adamu") for mesh in MESHES},
    **{f"tensor-parallel-{variant}": ("tensor-parallel", variant) for variant in VARIANTS},
    "both-sgd": ("both", "sgd"),
}


@pytest.fixture(scope="module")
def wide_opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OPT whose matrices are just large enough to be fully sharded."""
    sizes = dict(hidden_size=256, word_embed_proj_dim=256, ffn_dim=256, num_attention_heads=4)
    return write_tiny_opt(tmp_path_factory.mktemp("models") / "wide-opt", **sizes)


@pytest.fixture
def base(base: FinetuneConfig, wide_opt: Path) -> FinetuneConfig:
    hyper = HyperParameters(learning_rate=1e-3)
    # 2 and 8 devices do not divide the batches: rows are added that weigh nothing.
    return dataclasses.replace(
        base, model=str(wide_opt), steps=4, batch_size=9, eval_every=2, hyper=hyper
    )


class Killed(BaseException):
    """What nobody handles."""


class Killer(Observer):
    """Ends the run at a tick."""

    def __init__(self, step: int) -> None:
        self._step = step

    def ticked(self, tick: Tick) -> None:
        if tick.step == self._step:
            raise Killed


class Looks(Observer):
    """Asserts that the layers' matrices and their momentum are sharded, at each tick."""

    def __init__(self, shards: int) -> None:
        self.ticks, self._shards = 0, shards

    def ticked(self, tick: Tick) -> None:
        self.ticks += 1
        matrices = [leaf for leaf in jax.tree.leaves((tick.params, tick.state)) if leaf.ndim == 3]
        assert len(matrices) == 2 * 6
        for leaf in matrices:
            assert np.prod(leaf.sharding.shard_shape(leaf.shape)) == leaf.size // self._shards


def tuned_values(config: FinetuneConfig, folder: Path) -> list[np.ndarray]:
    """All parameters of a saved model, on one device."""
    alone = dataclasses.replace(config, mesh=None, layout=None)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_saved(alone, folder).params)]


@pytest.mark.parametrize(("mesh", "variant"), slow_except(CASES, "tensor-parallel-mezo"))
def test_a_run_on_a_mesh_is_that_of_one_device(
    mesh: str, variant: str, base: FinetuneConfig, tmp_path: Path
):
    config = dataclasses.replace(base, **VARIANTS[variant], output=tmp_path / "alone")
    alone = finetune(config)
    config = dataclasses.replace(config, output=tmp_path / "run", **MESHES[mesh])
    # Killed when two steps are taken, and resumed from a checkpoint and the log.
    with pytest.raises(Killed):
        finetune(config, Killer(2))
    looks = Looks({"tensor-parallel": 4, "fully sharded": 8, "both": 4}[mesh])
    observer = looks if variant == "zo_adamu" else Observer()
    run: Result = finetune(FinetuneConfig(resume=tmp_path / "run"), observer)
    assert looks.ticks == (variant == "zo_adamu")

    first = [np.asarray(x) for x in jax.tree.leaves(load_to_tune(config).model.params)]
    expected, got = (tuned_values(config, each.model_folder) for each in (alone, run))
    moved = [np.abs(x - y).max() for x, y in zip(expected, first, strict=True)]
    largest = max(moved)
    assert largest > 1e-5
    for x, y in zip(expected, got, strict=True):
        # A prefix begins as keys and values of the model, which are rounded on a mesh, too.
        rounding = 2e-6 * np.abs(x).max() if variant == "prefix" else 0.0
        np.testing.assert_allclose(y, x, rtol=0, atol=2e-3 * largest + rounding)
    assert run.tuned is not None
    assert alone.tuned is not None
    np.testing.assert_allclose(run.tuned.loss, alone.tuned.loss, rtol=1e-4)

    # Measured and replayed on the mesh, to the bits of the run itself.
    assert evaluate_run(run.folder)["tuned"].scores == run.tuned
    if variant != "sgd":
        replayed = replay_run(config.model, run.folder, tmp_path / "replayed")
        for x, y in zip(got, tuned_values(config, replayed.folder), strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_large_mesh_and_heads_that_do_not_fit_are_refused(base: FinetuneConfig):
    for mesh, message in {
        "data=4,model=4": "at most as many devices as there are, 8 of cpu, got .*, which are 16",
        "model=8": "must divide the model's num_attention_heads, 4, got 8",
    }.items():
        with pytest.raises(ValueError, match=f"finetune: .*{message}"):
            finetune(dataclasses.replace(base, mesh=mesh))


def test_several_processes_are_refused(base: FinetuneConfig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="finetune: mesh must be for a single process, got one of"):
        spread_of(dataclasses.replace(base, mesh="data=2"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(mesh="data=8", batch_size=7), "mesh needs an example for each of the 8 shards"),
        (
            dict(mesh="data=2", hyper=HyperParameters(evaluation="in_place")),
            "mesh must be for a step inside JAX, got evaluation",
        ),
    ],
)
def test_what_a_mesh_cannot_do_is_refused(
    changes: dict[str, Any], message: str, base: FinetuneConfig, tmp_path: Path
):
    with pytest.raises(ValueError, match=f"finetune: {message}"):
        finetune(dataclasses.replace(base, output=tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_saved_run_needs_no_mesh(
    base: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = dataclasses.replace(
        base, optimizer="mezo", steps=2, output=tmp_path / "run", mesh="model=4"
    )
    run = finetune(config)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    scores = evaluate_run(run.folder)["tuned"].scores
    assert run.tuned is not None
    np.testing.assert_allclose(scores.loss, run.tuned.loss, rtol=1e-5)
    model = zojax.lm.models.load(run.model_folder)
    assert len(jax.tree.leaves(model.params)[0].devices()) == 1

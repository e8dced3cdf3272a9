"""Runs in a subspace: folded between steps, measured and saved as they stand, resumed within."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from sets import slow_except
from starts import Killed, Watcher

from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    evaluate_run,
    finetune,
    load_to_tune,
    replay_run,
    resolve,
)
from zojax.lm.training._optimizer import optimizer_of

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture
def config(tiny_opt: Path, tmp_path: Path) -> FinetuneConfig:
    for name, count in (("train", 24), ("test", 16)):
        rows = "\n".join(f"{('film', 'story')[i % 2]} a It {i},{i % 2}" for i in range(count))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "test")}
    return FinetuneConfig(
        model=str(tiny_opt),
        steps=13,
        batch_size=4,
        eval_every=4,
        eval_batch_size=16,
        data=DataConfig(task="rotten-tomatoes", num_buckets=1, **files),
        hyper=HyperParameters(learning_rate=3e-3, subspace_rank=2, subspace_refresh=5),
        output=tmp_path / "run",
    )


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


@pytest.mark.parametrize("dtype", slow_except(["float32", "bfloat16"], "bfloat16"))
def test_a_killed_run_and_a_replay_end_as_the_run_did(
    config: FinetuneConfig, dtype: Any, tmp_path: Path
):
    config = dataclasses.replace(config, dtype=dtype)
    result = finetune(config)
    assert result.steps == 13
    found = weights(result.model_folder)
    untouched = load_file(Path(config.model) / "model.safetensors")
    moved = [
        np.abs(np.float32(found[k]) - np.float32(untouched[k])).max()
        for k in found
        if k in untouched
    ]
    assert max(moved) > 1e-3  # the last three steps are in the coordinates alone

    killed = dataclasses.replace(config, output=tmp_path / "killed")
    with pytest.raises(Killed):
        finetune(killed, Watcher(kill_at=8))
    resumed = finetune(FinetuneConfig(resume=tmp_path / "killed"))
    same(found, weights(resumed.model_folder))
    curves = [
        [*map(json.loads, (run.folder / "metrics.jsonl").read_text().splitlines())]
        for run in (result, resumed)
    ]
    dev = [[(x["step"], x["dev_loss"]) for x in lines if "dev_loss" in x] for lines in curves]
    assert dev[0] == dev[1]

    replayed = replay_run(config.model, result.folder, tmp_path / "replayed")
    same(found, weights(replayed.folder))
    # What was measured at the end is what was saved.
    assert evaluate_run(result.folder)["tuned"].scores == result.tuned


def test_the_state_is_that_of_the_coordinates(config: FinetuneConfig):
    resolved = resolve(config)
    tuned = load_to_tune(resolved)
    state = optimizer_of(resolved, tuned).tx.init(tuned.model.params)
    sizes = sum(x.size for x in jax.tree.leaves(state))
    whole = sum(x.size for x in jax.tree.leaves(tuned.model.params))
    assert sizes < whole / 2


def test_a_mesh_ends_where_one_device_does(config: FinetuneConfig, tmp_path: Path):
    alone = weights(finetune(config).model_folder)
    mesh = dataclasses.replace(config, mesh="data=2,model=2", output=tmp_path / "mesh")
    sharded = weights(finetune(mesh).model_folder)
    for name, leaf in alone.items():
        np.testing.assert_allclose(sharded[name], leaf, rtol=1e-3, atol=1e-4)


def test_an_adapter_is_tuned_in_a_subspace_too(config: FinetuneConfig):
    config = dataclasses.replace(config, tuned=AdapterConfig("lora", rank=4))
    result = finetune(config)
    assert result.model_folder.joinpath("adapter_model.safetensors").is_file()
    assert evaluate_run(result.folder)["tuned"].scores == result.tuned


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rank": (dict(subspace_rank=0), "subspace_rank must be >= 1, got 0"),
    "refresh": (dict(subspace_rank=2, subspace_refresh=0), "subspace_refresh must be >= 1, got 0"),
    "refresh alone": (dict(subspace_refresh=5), "subspace_refresh needs subspace_rank, got 5"),
    "in place": (dict(subspace_rank=2, evaluation="in_place"), "evaluation must be streamed or"),
    "rounding": (dict(subspace_rank=2, rounding="stochastic"), "rounding must not be given with"),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str):
    settings, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"finetune: {message}"):
        resolve(FinetuneConfig(hyper=HyperParameters(**settings)))
    with pytest.raises(ValueError, match="adam must not be given subspace_rank"):
        resolve(FinetuneConfig(optimizer="adam", hyper=HyperParameters(subspace_rank=2)))

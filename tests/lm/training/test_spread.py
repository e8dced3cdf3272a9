"""Runs that are spread over the devices of one process."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

import zojax.lm.models
from zojax.lm.training import (
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    Result,
    finetune,
    load_config,
)

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture(scope="module")
def base(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> FinetuneConfig:
    folder = tmp_path_factory.mktemp("data")
    for name, count in (("train", 24), ("test", 20)):
        rows = "\n".join(f"film {i},{i % 2}" for i in range(count))
        (folder / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    return FinetuneConfig(
        model=str(tiny_opt),
        optimizer="mezo",
        steps=4,
        batch_size=9,  # which 8 devices do not divide
        eval_batch_size=20,
        eval_every=2,
        data=DataConfig(train=folder / "train.csv", test=folder / "test.csv", num_buckets=1),
        hyper=HyperParameters(learning_rate=1e-3, num_queries=4),
    )


@pytest.fixture(scope="module")
def alone(base: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return finetune(dataclasses.replace(base, output=tmp_path_factory.mktemp("runs") / "alone"))


@pytest.mark.slow
@pytest.mark.parametrize(("parallel", "atol"), [("query", 0.0), ("data", 2e-6)])
def test_eight_devices_tune_to_the_model_of_one(
    parallel: str, atol: float, base: FinetuneConfig, alone: Result, tmp_path: Path
):
    config = dataclasses.replace(base, parallel=parallel, output=tmp_path / "run")
    run = finetune(config)
    assert load_config(run.folder).parallel == parallel
    first = jax.tree.leaves(zojax.lm.models.load(base.model).params)
    models = [zojax.lm.models.load(result.model_folder).params for result in (alone, run)]
    for before, expected, got in zip(first, *map(jax.tree.leaves, models), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=atol)
        assert np.abs(expected - before).max() > 1e-4
    assert run.tuned is not None
    assert alone.tuned is not None
    assert run.tuned.accuracy == alone.tuned.accuracy
    np.testing.assert_allclose(run.tuned.loss, alone.tuned.loss, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(parallel="data", batch_size=7), "an example for each of the 8 devices, got batches"),
        (
            dict(parallel="query", hyper=HyperParameters()),
            "a loss for each of .* got steps of 2",
        ),
        (dict(parallel="query", optimizer="sgd", hyper=HyperParameters()), "got steps of 0"),
        (
            dict(parallel="query", hyper=HyperParameters(num_queries=4, evaluation="in_place")),
            "must be for a step inside JAX",
        ),
    ],
)
def test_what_cannot_be_shared_out_is_refused(
    changes: dict[str, object], message: str, base: FinetuneConfig, tmp_path: Path
):
    with pytest.raises(ValueError, match=message):
        finetune(dataclasses.replace(base, output=tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()

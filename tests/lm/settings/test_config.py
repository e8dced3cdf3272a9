"""Configurations: what is refused before any work, and the way to disk and back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zojax.lm.training import (
    DEFAULTS,
    WITH_ADAPTER,
    AdapterConfig,
    AdapterName,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    load_config,
    resolve,
)
from zojax.lm.training._output import output_folder
from zojax.lm.training._rate import LENGTHS, with_rate
from zojax.lm.training._run_folder import RunFolder

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", ["steps", "batch_size", "eval_batch_size", "eval_every"])
def test_counts_are_positive(name: str):
    with pytest.raises(ValueError, match=f"finetune: {name} must be >= 1, got 0"):
        FinetuneConfig(**{name: 0})


@pytest.mark.parametrize("name", ["max_length", "train_size", "dev_size", "num_buckets", "k_shot"])
def test_data_counts_are_positive(name: str):
    with pytest.raises(ValueError, match=f"finetune: {name} must be >= 1, got -1"):
        FinetuneConfig(data=DataConfig(**{name: -1}))


@pytest.mark.parametrize("name", ["train_size", "dev_size"])
def test_k_shot_sets_sizes_that_must_not_be_set_beside_it(name: str):
    with pytest.raises(ValueError, match=f"finetune: {name} must be left out with k_shot"):
        FinetuneConfig(data=DataConfig(k_shot=16, **{name: 100}))
    FinetuneConfig(data=DataConfig(k_shot=16, test_size=100))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dev", Path("a.csv")),
        ("test", Path("a.csv")),
        ("text_column", "ticket"),
        ("label_column", "queue"),
        ("skip_bad_rows", True),
    ],
)
def test_what_is_about_own_files_needs_one(name: str, value: Any):
    with pytest.raises(ValueError, match=f"finetune: {name} needs train, a file of your own"):
        FinetuneConfig(data=DataConfig(**{name: value}))
    FinetuneConfig(data=DataConfig(train=Path("b.csv"), **{name: value}))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "forward_gradient_sgd"])
def test_a_metric_has_no_derivative_to_follow(optimizer: str):
    for objective in ("accuracy", "f1"):
        with pytest.raises(ValueError, match=f"objective must be loss for {optimizer}"):
            FinetuneConfig(optimizer=optimizer, objective=objective)


@pytest.mark.parametrize("optimizer", DEFAULTS)
def test_defaults_fill_what_is_not_given(optimizer: str):
    hyper = resolve(
        FinetuneConfig(optimizer=optimizer, hyper=HyperParameters(learning_rate=7.0))
    ).hyper
    given = {k: v for k, v in dataclasses.asdict(hyper).items() if v is not None}
    defaults = {name: value for name, value in DEFAULTS[optimizer].items() if value is not None}
    assert given == {**defaults, "learning_rate": 7.0}


@pytest.mark.parametrize("adapter", WITH_ADAPTER)
def test_adapters_have_defaults_of_their_own(adapter: str):
    tuned = AdapterConfig(adapter)
    for optimizer in ("mezo", "zo_adamu"):
        hyper = resolve(FinetuneConfig(optimizer=optimizer, tuned=tuned)).hyper
        own = WITH_ADAPTER[adapter]
        assert (hyper.learning_rate, hyper.eps) == (own["learning_rate"], own["eps"])
        assert hyper.learning_rate > DEFAULTS[optimizer]["learning_rate"]
        assert hyper.direction == DEFAULTS[optimizer]["direction"]
        assert hyper.slope_rule == "none"  # their rates were found without one
    given = FinetuneConfig(tuned=tuned, hyper=HyperParameters(eps=0.5))
    assert resolve(given).hyper.eps == 0.5
    # For the others nothing is known.
    other = resolve(FinetuneConfig(optimizer="zo_adam", tuned=tuned)).hyper
    assert other == resolve(FinetuneConfig(optimizer="zo_adam")).hyper


@pytest.mark.parametrize("adapter", ["virtual_tokens", "head"])
def test_what_has_no_layers_is_not_tuned_layer_by_layer(adapter: AdapterName):
    config = FinetuneConfig(optimizer="zo_sgd_blockwise", tuned=AdapterConfig(adapter))
    with pytest.raises(
        ValueError, match=f"layer by layer, and adapter {adapter} has no layers. Choose"
    ):
        resolve(config)


def test_foreign_settings_are_refused():
    config = FinetuneConfig(optimizer="adam", hyper=HyperParameters(eps=1e-3, num_queries=2))
    with pytest.raises(ValueError, match=r"adam must not be given eps, num_queries. It takes"):
        resolve(config)


def test_a_configuration_comes_back_from_its_folder(tmp_path: Path):
    config = FinetuneConfig(
        objective="accuracy",
        output=tmp_path,
        data=DataConfig(train=Path("/a.csv"), test=Path("/b.csv"), label_words=("no", "so so")),
        tuned=AdapterConfig("lora", rank=4, targets=("q_proj", "fc1")),
        hyper=HyperParameters(phases=(0.1, 0.5)),
    )
    RunFolder(tmp_path, config)
    assert load_config(tmp_path) == config
    assert json.loads((tmp_path / "config.json").read_text())["versions"]["zojax"]


def test_a_configuration_of_another_version_is_refused(tmp_path: Path):
    RunFolder(tmp_path, FinetuneConfig())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shoe_size": 43}))
    with pytest.raises(ValueError, match=r"does not fit this version of zojax .*shoe_size"):
        load_config(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*config\.json"):
        load_config(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": "10"}, "Expected `int.*`, got `str` - at `\\$.steps`"),
        ({"seed": True}, "Expected `int`, got `bool`"),
        ({"output": 3}, "expected Path, got 3"),
        ({"data": None}, "does not fit this version"),
        ({"hyper": {"phases": [0.1]}}, "Expected `array` of length 2, got 1"),
        ({"hyper": {"eps": float("nan")}}, "eps must be finite, got nan"),
        ({"tuned": {"rank": 2.0}}, "Expected `int.*`, got `float`"),
        ({"steps": 0}, "steps must be >= 1, got 0"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(tmp_path: Path, changes: dict, message: str):
    RunFolder(tmp_path, FinetuneConfig())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"load_config: .*config\.json.*{message}"):
        load_config(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", "\xff", 10**5 * "["])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str):
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"config\.json must be a run's settings"):
        load_config(tmp_path)


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_seeds_that_would_be_another(seed: int):
    with pytest.raises(ValueError, match="finetune: seed must lie within 0 … 4294967295"):
        FinetuneConfig(seed=seed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(layout="fully-sharded"), "layout needs mesh, got fully-sharded without one"),
        (dict(mesh="model"), "mesh must name each axis once, with its size"),
        (dict(mesh="rows=2"), "mesh must have axes of data, fsdp, model, got 'rows'"),
        (dict(mesh="data=2", layout="tensor-parallel"), "for a mesh with the axis model"),
        (
            dict(mesh="data=2", layout="rows"),
            "layout must be one of tensor-parallel, fully-sharded",
        ),
        (dict(mesh="data=2", parallel="data"), "mesh must not be given with parallel, got data=2"),
        (
            dict(mesh="data=2", implementation="transformers"),
            "mesh must be for implementation zojax",
        ),
        (dict(implementation="flax"), "implementation must be one of zojax, transformers"),
    ],
)
def test_a_mesh_and_what_goes_with_it(settings: dict, message: str):
    with pytest.raises(ValueError, match=f"finetune: .*{message}"):
        FinetuneConfig(**settings)


def test_a_run_is_replaced_only_when_asked(tmp_path: Path):
    (tmp_path / "run").mkdir()
    config = FinetuneConfig(output=tmp_path / "run")
    again = dataclasses.replace(config, overwrite=True)
    assert output_folder(config) == tmp_path / "run"  # empty

    RunFolder(tmp_path / "run", config).log(step=1)
    with pytest.raises(FileExistsError, match=r"there is a run in .*overwrite"):
        output_folder(config)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    RunFolder(output_folder(again), again)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_what_is_no_run_is_never_replaced(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    for output in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(FileExistsError, match="output must be"):
            output_folder(FinetuneConfig(output=output, overwrite=True))


def test_runs_are_named_by_time_and_optimizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    folder = output_folder(FinetuneConfig(optimizer="mezo"))
    assert folder.parent == tmp_path / "runs"
    assert folder.name.endswith("-mezo")


@pytest.mark.quick
def test_a_rate_that_is_not_given_follows_from_the_number_of_parameters():
    params = {"w": np.zeros((30, 30), np.float32)}
    for optimizer, length in LENGTHS.items():
        hyper = resolve(FinetuneConfig(optimizer=optimizer)).hyper
        assert hyper.learning_rate is None
        decreasing = optimizer in ("zo_adamu", "mezo")
        assert hyper.schedule == ("linear" if decreasing else "constant")
        for schedule, first in ((None, 2 * length if decreasing else length), ("constant", length)):
            given = FinetuneConfig(optimizer=optimizer, hyper=HyperParameters(schedule=schedule))
            found = with_rate(resolve(given), params)
            queries = (found.hyper.population or 2) // 2
            assert found.hyper.learning_rate == pytest.approx(first * queries**0.5 / 30, rel=0.05)
    # A rate that is given is constant.
    given = resolve(FinetuneConfig(hyper=HyperParameters(learning_rate=0.5)))
    assert given.hyper.schedule == "constant"
    # As in the papers, slopes and rates have no common unit.
    plain = resolve(FinetuneConfig(optimizer="mezo", hyper=HyperParameters(slope_rule="none")))
    assert plain.hyper.learning_rate == DEFAULTS["mezo"]["learning_rate"]
    assert with_rate(plain, params) == plain
    given = resolve(FinetuneConfig(hyper=HyperParameters(learning_rate=0.5)))
    assert with_rate(given, params).hyper.learning_rate == 0.5

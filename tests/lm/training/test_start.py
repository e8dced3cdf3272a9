"""Where runs start from: label words, a bias, a head; and that all of it is kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sets import slow_except
from starts import ADAPTERS, Killed, Watcher, dev_scores, results, start_of, weights
from tiny_models import masked_tokenizer_of, write_tiny_model

import zojax.lm.models
from zojax.lm.prediction import load_run
from zojax.lm.training import (
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    NonFiniteLossError,
    Observer,
    Result,
    evaluate_run,
    export_run,
    finetune,
    load_config,
    replay_run,
)
from zojax.lm.training import _start as start_module

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

CASES = {
    f"{start}, {adapter}": (start, adapter)
    for start in ("calibrated", "probe")
    for adapter in ADAPTERS
}


def test_the_best_start_on_dev_is_taken_and_told(run: Callable[..., Result]):
    watcher = Watcher()
    result = run(watcher, start="auto", steps=2)
    found = results(result)["start"]
    assert found["asked"] == "auto"
    assert found["dev"].keys() == {"words", "calibrated", "probe"}
    # The first word tells the class, which a head can read off the features and no bias can.
    assert found["name"] == "probe"
    assert found["dev"]["probe"] > max(found["dev"]["words"], found["dev"]["calibrated"])
    assert found["passes"] == {"words": 0, "calibrated": 5, "probe": 5}  # 40 rows by 8
    assert found["all_passes"] == 7  # and 12 rows of dev, for all three
    assert found["majority"] == {"dev": 0.5, "test": 0.5}
    assert found["test"] == result.zero_shot.accuracy
    assert load_config(result.folder).start == "probe"
    table = "\n".join(watcher.lines)
    for name in ("majority", "words", "calibrated", "probe"):
        assert f"\n{name}" in table
    assert "probe is best on dev" in table
    # What the run measures before its first step is that start.
    assert dev_scores(result)[0][0] == pytest.approx(found["dev"]["probe"])


@pytest.mark.parametrize(
    ("start", "adapter"), slow_except(CASES, "calibrated, none", "probe, lora")
)
def test_what_a_run_starts_with_is_tuned_and_kept(
    start: str, adapter: str, run: Callable[..., Result], tmp_path: Path
):
    hyper = HyperParameters(learning_rate=1e-2)
    result = run(start=start, tuned=ADAPTERS[adapter], hyper=hyper)
    first = start_of(result.folder)
    tuned = load_run(result.folder, which="last")
    own = tuned.model.params if adapter == "none" else tuned.model.params["adapter"]
    (name,) = first
    assert not np.array_equal(np.asarray(own["score"][name]), first[name])
    # Evaluation, prediction and replay have the same bits.
    assert evaluate_run(result.folder)["tuned"].scores == result.tuned
    if result.best_step != result.steps:
        assert evaluate_run(result.folder)["best"].scores == result.best
    rows = [json.loads(x) for x in Path(tuned.config.data.test).read_text().splitlines()]
    labels = ["terrible", "great"]
    hits = [p.label == labels[row["label"]] for p, row in zip(
        tuned.predict([row["text"] for row in rows]), rows, strict=True
    )]  # fmt: skip
    assert np.mean(hits) == result.tuned.accuracy
    again = replay_run(tuned.config.model, result.folder, tmp_path / "again")
    assert weights(again.folder) == weights(result.model_folder)
    # A run never ends below its start on dev.
    assert max(dev_scores(result)) >= dev_scores(result)[0]
    if adapter in ("none", "lora"):
        arguments = {} if adapter == "none" else {"merge_adapter": True}
        output = export_run(result.folder, tmp_path / "out", which="last", **arguments)
        config = json.loads((output / "config.json").read_text())
        kinds = {"probe": "OPTForSequenceClassification", "calibrated": "OPTForCausalLM"}
        assert config["architectures"] == [kinds[start]]
        assert (output / "classes.safetensors").is_file() == (start == "calibrated")


def test_a_head_takes_one_row_for_an_example(
    run: Callable[..., Result], base: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
):
    data = dataclasses.replace(base.data, label_words=("a long film", "film"))

    class Rows(Observer):
        programs: set[str] = set()  # noqa: RUF012 - for this test

        def compiled(self, what: str, seconds: float) -> None:
            del seconds
            self.programs.add(what)

    rows = Rows()
    result = run(rows, start="probe", data=data, steps=2)
    assert any("mezo's step for 8 x" in program for program in rows.programs), rows.programs
    assert results(result)["start"]["passes"] == {"probe": 5}
    # Label words of three tokens take a row for each class.
    result = run(start="auto", data=data, steps=2, overwrite=True)
    assert results(result)["start"]["passes"] == {"words": 0, "calibrated": 10, "probe": 5}
    # Too many rows: for auto the words are left out, and fewer examples calibrate them.
    monkeypatch.setattr(start_module, "_MOST_ROWS", 100)
    watcher = Watcher()
    result = run(watcher, start="auto", data=data, steps=1, overwrite=True)
    assert results(result)["start"]["passes"] == {"probe": 5}
    assert any("no calibrated: label words of several tokens" in line for line in watcher.lines)
    monkeypatch.setattr(start_module, "_MOST_ROWS", 40)
    result = run(start="calibrated", data=data, steps=1, overwrite=True)
    assert results(result)["start"]["passes"] == {"words": 0, "calibrated": 5}


@pytest.mark.parametrize("start", ["probe", pytest.param("calibrated", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_from_its_start(
    start: str, run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = run(start=start)
    with pytest.raises(Killed):
        run(Watcher(kill_at=4), start=start, output=tmp_path / "killed")
    monkeypatch.setattr(start_module, "fit_probe", None)  # nothing is fitted again
    monkeypatch.setattr(start_module, "fit_bias", None)
    result = finetune(FinetuneConfig(resume=tmp_path / "killed"))
    assert weights(result.model_folder) == weights(expected.model_folder)
    assert (result.zero_shot, result.tuned, result.best) == (
        expected.zero_shot,
        expected.tuned,
        expected.best,
    )
    assert results(result)["start"] == results(expected)["start"]


def test_a_start_that_no_step_improves_is_saved_as_the_best(run: Callable[..., Result]):
    # Steps so large that they lose what the start knows.
    hyper = HyperParameters(learning_rate=3e-1)
    result = run(start="probe", hyper=hyper)
    assert result.best_step == 0
    assert result.best == result.zero_shot
    best = load_run(result.folder)
    np.testing.assert_array_equal(
        best.model.params["score"]["kernel"], start_of(result.folder)["kernel"]
    )
    assert export_run(result.folder, result.folder / "out").is_dir()


@pytest.mark.slow
def test_a_start_is_saved_when_the_loss_stops_being_finite(
    run: Callable[..., Result], tmp_path: Path
):
    hyper = HyperParameters(learning_rate=1e30)
    for adapter in ("none", "lora"):
        with pytest.raises(NonFiniteLossError):
            run(start="probe", hyper=hyper, tuned=ADAPTERS[adapter], output=tmp_path / adapter)
        best = load_run(tmp_path / adapter).model.params
        own = best if adapter == "none" else best["adapter"]
        kernel = start_of(tmp_path / adapter)["kernel"]
        np.testing.assert_array_equal(own["score"]["kernel"], kernel)


def test_roberta_starts_from_a_head(run: Callable[..., Result], tiny_opt: Path, tmp_path: Path):
    model = write_tiny_model(tmp_path / "model", "roberta", masked_tokenizer_of(tiny_opt))
    result = run(start="probe", model=str(model))
    assert results(result)["start"]["name"] == "probe"
    assert evaluate_run(result.folder)["tuned"].scores == result.tuned
    loaded = zojax.lm.models.load(result.model_folder)
    assert loaded.labels == ("terrible", "great")
    assert "lm_head" not in loaded.params


@pytest.mark.slow
@pytest.mark.flax_classes
@pytest.mark.parametrize("start", ["calibrated", "probe"])
def test_transformers_flax_classes_start_too(start: str, run: Callable[..., Result]):
    result = run(start=start, implementation="transformers")
    assert evaluate_run(result.folder)["tuned"].scores == result.tuned


@pytest.mark.slow
@pytest.mark.parametrize("start", ["calibrated", "probe"])
@pytest.mark.parametrize("mesh", ["data=2,model=2", "fsdp=2", "data=8"])
def test_a_start_on_a_mesh_is_that_of_one_device(
    start: str, mesh: str, run: Callable[..., Result], tmp_path: Path
):
    alone = run(start=start)
    several = run(start=start, mesh=mesh, output=tmp_path / "mesh")
    assert several.zero_shot.accuracy == alone.zero_shot.accuracy
    # The fit stops within its tolerance of the solution, from features that differ by rounding.
    assert several.zero_shot.loss == pytest.approx(alone.zero_shot.loss, rel=1e-2)
    assert evaluate_run(several.folder)["tuned"].scores == several.tuned


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", ["zo_sgd_blockwise", "adam", "zo_adamu", "forward_gradient_sgd"]
)
def test_a_head_is_tuned_by_every_kind_of_optimizer(optimizer: Any, run: Callable[..., Result]):
    result = run(start="probe", optimizer=optimizer)
    kernel = load_run(result.folder, which="last").model.params["score"]["kernel"]
    assert not np.array_equal(np.asarray(kernel), start_of(result.folder)["kernel"])


@pytest.mark.slow
def test_accuracy_can_be_the_objective(run: Callable[..., Result]):
    result = run(start="probe", objective="accuracy", steps=2)
    assert result.steps == 2


def test_your_own_rows_start_from_the_best(run: Callable[..., Result], base: FinetuneConfig):
    train = base.data.train
    result = run(data=DataConfig(train=train, num_buckets=1), steps=2)
    assert results(result)["start"]["asked"] == "auto"
    named = run(steps=2, overwrite=True)
    assert results(named)["start"]["asked"] == "words"
    assert not (named.folder / "start.safetensors").exists()


@pytest.mark.slow
def test_a_class_without_training_rows_leaves_the_label_words(
    run: Callable[..., Result], base: FinetuneConfig, tmp_path: Path
):
    rows = [{"text": f"film a It {i}", "label": 0} for i in range(12)]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    data = dataclasses.replace(base.data, train=path)
    watcher = Watcher()
    result = run(watcher, start="auto", data=data, steps=1)
    assert results(result)["start"]["name"] == "words"
    assert any("no probe: no training row of great" in line for line in watcher.lines)
    with pytest.raises(
        ValueError, match="start probe needs training rows of every class, got none"
    ):
        run(start="probe", data=data, overwrite=True)


@pytest.mark.slow
def test_at_most_so_many_rows_are_read(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(start_module, "_MOST_ROWS", 16)
    result = run(start="probe", steps=1)
    assert results(result)["start"]["passes"] == {"probe": 2}


@pytest.mark.slow
def test_the_card_says_how_to_load_a_head(run: Callable[..., Result], tmp_path: Path):
    result = run(start="probe", steps=1)
    text = (result.model_folder / "README.md").read_text()
    assert "AutoModelForSequenceClassification" in text
    assert "pipeline_tag: text-classification" in text
    result = run(start="calibrated", steps=1, output=tmp_path / "second")
    assert "`classes.safetensors`" in (result.model_folder / "README.md").read_text()

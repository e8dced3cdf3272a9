"""Whole runs on a tiny model: their files, their figures, and what happens when they break."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import pytest

import zojax.lm.models
from zojax.lm.training import (
    FinetuneConfig,
    HyperParameters,
    NonFiniteLossError,
    Observer,
    Result,
    Tick,
    evaluate_run,
    finetune,
    load_config,
)

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")


def metrics(result: Result) -> list[dict[str, Any]]:
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def mezo_run(base: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return finetune(dataclasses.replace(base, output=tmp_path_factory.mktemp("runs") / "mezo"))


@pytest.mark.quick
def test_a_run_folder_has_everything(mezo_run: Result, base: FinetuneConfig):
    folder = mezo_run.folder
    assert {path.name for path in folder.iterdir()} - {"best"} == {
        "config.json",
        "data.json",
        "start.json",
        "metrics.jsonl",
        "results.json",
        "curve.png",
        "model",
        "trajectory.log",
        "checkpoints",
    }
    assert load_config(folder).data == base.data
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert [line["step"] for line in metrics(mezo_run)] == [0, 2, 3, 4, 6]
    assert [line["step"] for line in metrics(mezo_run) if "dev_accuracy" in line] == [0, 3, 6]
    assert metrics(mezo_run)[0]["dev_majority"] == 0.5
    assert metrics(mezo_run)[-1]["forward_passes"] == 12
    results = json.loads((folder / "results.json").read_text())
    assert results["test"]["tuned"]["accuracy"] == mezo_run.tuned.accuracy
    assert results["test"]["tuned"]["examples"] == 16


def test_the_configuration_of_a_run_repeats_it(mezo_run: Result, tmp_path: Path):
    again = finetune(dataclasses.replace(load_config(mezo_run.folder), output=tmp_path / "again"))
    assert metrics(again) == metrics(mezo_run)
    assert (again.zero_shot, again.tuned, again.best) == (
        mezo_run.zero_shot,
        mezo_run.tuned,
        mezo_run.best,
    )
    models = [zojax.lm.models.load(run.model_folder).params for run in (again, mezo_run)]
    jax.tree.map(np.testing.assert_array_equal, *models)


@pytest.mark.parametrize("report", ["best", "last"])
def test_only_what_is_reported_is_measured(
    report: Literal["best", "last"], mezo_run: Result, base: FinetuneConfig, tmp_path: Path
):
    result = finetune(dataclasses.replace(base, output=tmp_path / "run"), report=report)
    assert result.zero_shot is None
    expected = {"best": (None, mezo_run.best), "last": (mezo_run.tuned, None)}
    assert (result.tuned, result.best) == expected[report]
    assert json.loads((result.folder / "results.json").read_text())["test"]["zero_shot"] is None


def test_a_report_of_something_else_is_refused(base: FinetuneConfig, tmp_path: Path):
    with pytest.raises(ValueError, match=r"finetune: report must be one of .*, got 'worst'"):
        finetune(dataclasses.replace(base, output=tmp_path / "run"), report="worst")
    assert not (tmp_path / "run").exists()


def test_a_saved_run_measures_the_same(mezo_run: Result):
    assert evaluate_run(mezo_run.folder)["tuned"].scores == mezo_run.tuned


@pytest.mark.slow
def test_in_place_takes_the_same_steps(mezo_run: Result, base: FinetuneConfig, tmp_path: Path):
    hyper = dataclasses.replace(base.hyper, evaluation="in_place")
    run = finetune(dataclasses.replace(base, hyper=hyper, output=tmp_path / "run"))
    np.testing.assert_allclose(
        [line["loss"] for line in metrics(run)[1:]],
        [line["loss"] for line in metrics(mezo_run)[1:]],
        rtol=1e-3,
    )


def test_adam_learns_and_the_best_step_is_kept(base: FinetuneConfig, tmp_path: Path):
    config = dataclasses.replace(
        base,
        optimizer="adam",
        steps=60,
        eval_every=20,
        hyper=HyperParameters(learning_rate=3e-3),
        output=tmp_path / "run",
    )
    result = finetune(config)
    assert result.tuned.accuracy == 1.0 > result.zero_shot.accuracy
    dev = {line["step"]: line for line in metrics(result) if "dev_loss" in line}
    best = max(dev, key=lambda step: (dev[step]["dev_accuracy"], -dev[step]["dev_loss"]))
    assert result.best_step == best
    scores = evaluate_run(result.folder)
    assert scores.get("best", scores["tuned"]).scores == result.best


class Interrupter(Observer):
    """Presses Ctrl-C at the first tick."""

    def ticked(self, tick: Tick) -> None:
        if tick.step == 2:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_run_saves_what_there_is(base: FinetuneConfig, tmp_path: Path):
    config = dataclasses.replace(base, optimizer="sgd", hyper=HyperParameters())
    result = finetune(dataclasses.replace(config, output=tmp_path / "run"), Interrupter())
    assert (result.steps, result.tuned, result.best) == (3, None, None)
    assert metrics(result)[-1]["step"] == 3
    assert (result.folder / "curve.png").exists()
    assert "tuned" in evaluate_run(result.folder)


def test_a_broken_run_saves_no_broken_model(base: FinetuneConfig, tmp_path: Path):
    config = dataclasses.replace(base, optimizer="sgd", hyper=HyperParameters(learning_rate=1e30))
    with pytest.raises(NonFiniteLossError, match="the loss must be finite, got nan at step 2"):
        finetune(dataclasses.replace(config, output=tmp_path / "run"))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json",
        "data.json",
        "start.json",
        "metrics.jsonl",
        "losses.bin",  # of step 1, which has no line yet
        "results.json",
        "curve.png",
    }
    assert "failed" in json.loads((tmp_path / "run" / "results.json").read_text())
    with pytest.raises(FileNotFoundError, match="there is no saved model"):
        evaluate_run(tmp_path / "run")


def test_nothing_is_written_for_wrong_data(base: FinetuneConfig, tmp_path: Path):
    bad = tmp_path / "bad.csv"
    bad.write_text("text,label\nx,splendid\n")
    data = dataclasses.replace(base.data, test=bad)
    with pytest.raises(ValueError, match=r"bad\.csv:2: label must be one of"):
        finetune(dataclasses.replace(base, data=data, output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()

"""Starts that are folders, and starts that are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sets import slow_except
from starts import ADAPTERS, Watcher, results, weights

from zojax.lm.prediction import load_run
from zojax.lm.tasks import load_task
from zojax.lm.training import (
    AdapterConfig,
    FinetuneConfig,
    Result,
    evaluate_run,
    load_config,
    replay_run,
)
from zojax.lm.training._start_folder import asked_start

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.mark.parametrize("adapter", slow_except(ADAPTERS, "none"))
def test_tuning_goes_on_from_the_folder_of_a_run(
    adapter: AdapterConfig, run: Callable[..., Result], tmp_path: Path
):
    first = run(start="probe", tuned=adapter)
    watcher = Watcher()
    second = run(watcher, start=str(first.folder), output=tmp_path / "second", steps=2)
    assert second.zero_shot == first.best
    assert load_config(second.folder).tuned == adapter
    assert results(second)["start"]["name"] == "folder"
    assert evaluate_run(second.folder)["tuned"].scores == second.tuned
    base = load_config(second.folder).model
    again = replay_run(base, second.folder, tmp_path / "again")
    assert weights(again.folder) == weights(second.model_folder)


@pytest.mark.slow
def test_a_second_head_is_refused(run: Callable[..., Result], tmp_path: Path):
    first = run(start="probe", steps=1)
    with pytest.raises(ValueError, match="start must be words for a model that has a head"):
        run(start="probe", model=str(first.model_folder), output=tmp_path / "second")


@pytest.mark.slow
def test_a_bias_goes_on_from_the_folder_of_a_run_too(run: Callable[..., Result], tmp_path: Path):
    first = run(start="calibrated")
    second = run(start=str(first.folder), output=tmp_path / "second", steps=2)
    assert second.zero_shot == first.best
    # And into an adapter, beside which it is saved.
    third = run(start=str(first.folder), tuned=ADAPTERS["lora"], output=tmp_path / "third")
    assert third.zero_shot == first.best
    assert "classes.safetensors" in weights(third.model_folder)
    assert evaluate_run(third.folder)["tuned"].scores == third.tuned


@pytest.mark.slow
def test_a_head_goes_on_under_an_adapter(run: Callable[..., Result], tmp_path: Path):
    first = run(start="probe")
    for name in ("lora", "head"):
        result = run(start=str(first.folder), tuned=ADAPTERS[name], output=tmp_path / name)
        assert result.zero_shot == first.best
        assert evaluate_run(result.folder)["tuned"].scores == result.tuned


def test_what_cannot_start_is_said_before_the_model_loads(
    run: Callable[..., Result],
    base: FinetuneConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def not_loaded(*_: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("zojax.lm.training._set_up.load_to_tune", not_loaded)
    with pytest.raises(FileNotFoundError, match=r"start must be one of auto, words, .*'wrods'"):
        run(start="wrods")
    for name in ("squad", "copa"):
        with pytest.raises(ValueError, match="start must be left out for a task without classes"):
            asked_start(dataclasses.replace(base, start="probe"), load_task(name))
        assert asked_start(base, load_task(name)) is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else 1)
    with pytest.raises(ImportError, match="a probe needs scikit-learn"):
        run(start="auto")


def test_other_classes_than_the_heads_are_refused(
    run: Callable[..., Result], base: FinetuneConfig, tmp_path: Path
):
    first = run(start="probe", steps=1)
    data = dataclasses.replace(base.data, label_words=("great", "terrible"))
    with pytest.raises(
        ValueError, match=r"classes of .* must be those of the task, great, terrible"
    ):
        run(start=str(first.folder), data=data, output=tmp_path / "second")


@pytest.mark.slow
def test_another_adapter_than_the_folders_is_refused(run: Callable[..., Result], tmp_path: Path):
    first = run(start="probe", tuned=ADAPTERS["lora"], steps=1)
    with pytest.raises(
        ValueError, match="adapter must be left out, or be that of the run in start"
    ):
        run(start=str(first.folder), tuned=ADAPTERS["prefix"], output=tmp_path / "second")
    with pytest.raises(ValueError, match="has an adapter, so that adapter must say which"):
        run(start=str(first.model_folder), output=tmp_path / "second")
    other = AdapterConfig("lora", rank=3)
    with pytest.raises(ValueError, match="start must be the folder of an adapter like the run's"):
        run(start=str(first.model_folder), tuned=other, output=tmp_path / "second")


@pytest.mark.slow
def test_the_replay_of_a_fitted_start_needs_its_files(run: Callable[..., Result], tmp_path: Path):
    result = run(start="probe", steps=2)
    log = tmp_path / "trajectory.log"
    log.write_bytes((result.folder / "trajectory.log").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"needs its start\.json"):
        replay_run(load_config(result.folder).model, log, tmp_path / "again")


@pytest.mark.slow
def test_damaged_files_of_a_start_are_named(run: Callable[..., Result], tmp_path: Path):
    result = run(start="calibrated", steps=1)
    file = result.model_folder / "classes.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"classes\.safetensors must be the classes' head or bias"):
        load_run(result.folder, which="last")

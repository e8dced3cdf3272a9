"""Where runs start from: label words, a bias, a head, a folder; and that all of it is kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sets import slow_except
from tiny_models import masked_tokenizer_of, write_tiny_model

import zojax.lm.models
from zojax.lm.prediction import load_run
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    NonFiniteLossError,
    Observer,
    Result,
    Tick,
    evaluate_run,
    export_run,
    finetune,
    load_config,
    replay_run,
)
from zojax.lm.training import _start as start_module

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

ADAPTERS = {
    "none": AdapterConfig(),
    "lora": AdapterConfig("lora", rank=2),
    "prefix": AdapterConfig("prefix", length=2),
    "virtual_tokens": AdapterConfig("virtual_tokens", length=2),
    "head": AdapterConfig("head"),
}
CASES = {
    f"{start}, {adapter}": (start, adapter)
    for start in ("calibrated", "probe")
    for adapter in ADAPTERS
}


class Watcher(Observer):
    """Keeps the table of starts, and ends the run at a step if one is given."""

    def __init__(self, kill_at: int = 0) -> None:
        self.lines: Sequence[str] = ()
        self._kill_at = kill_at

    def start(self, lines: Sequence[str]) -> None:
        self.lines = lines

    def ticked(self, tick: Tick) -> None:
        if tick.step == self._kill_at:
            raise Killed


class Killed(BaseException):
    """What nobody handles."""


@pytest.fixture
def run(base: FinetuneConfig, tmp_path: Path) -> Callable[..., Result]:
    def run(observer: Observer | None = None, **changes: Any) -> Result:
        output = changes.pop("output", tmp_path / "run")
        return finetune(dataclasses.replace(base, output=output, **changes), observer)

    return run


def results(result: Result) -> dict[str, Any]:
    return json.loads((result.folder / "results.json").read_text())


def weights(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


def dev_scores(result: Result) -> list[tuple[float, float]]:
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [(x["dev_accuracy"], -x["dev_loss"]) for x in found if "dev_loss" in x]


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


def start_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "start.safetensors")


def test_a_head_takes_one_row_for_an_example(run: Callable[..., Result], base: FinetuneConfig):
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
    result = run(start="calibrated", data=data, steps=2, overwrite=True)
    assert results(result)["start"]["passes"] == {"words": 0, "calibrated": 10}


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
    assert several.zero_shot.loss == pytest.approx(alone.zero_shot.loss, rel=1e-3)
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


def test_what_cannot_start_is_said_before_the_model_loads(
    run: Callable[..., Result],
    base: FinetuneConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def not_loaded(*_: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("zojax.lm.training._finetune.load_to_tune", not_loaded)
    with pytest.raises(FileNotFoundError, match="start must be one of auto, words, .*'wrods'"):
        run(start="wrods")
    answers = {"text": ["film"]}
    row = {"title": "films", "context": "a film", "question": "what", "answers": answers}
    rows = [row] * 4
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    data = DataConfig(task="squad", train=path, test=path, dev=path)
    with pytest.raises(ValueError, match="start must be left out for a task without classes, got"):
        run(start="probe", data=data)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else 1)
    with pytest.raises(ImportError, match="a probe needs scikit-learn"):
        run(start="auto")


def test_other_classes_than_the_heads_are_refused(
    run: Callable[..., Result], base: FinetuneConfig, tmp_path: Path
):
    first = run(start="probe", steps=1)
    data = dataclasses.replace(base.data, label_words=("great", "terrible"))
    with pytest.raises(
        ValueError, match="classes of .* must be those of the task, great, terrible"
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


@pytest.mark.slow
def test_the_card_says_how_to_load_a_head(run: Callable[..., Result], tmp_path: Path):
    result = run(start="probe", steps=1)
    text = (result.model_folder / "README.md").read_text()
    assert "AutoModelForSequenceClassification" in text
    assert "pipeline_tag: text-classification" in text
    result = run(start="calibrated", steps=1, output=tmp_path / "second")
    assert "`classes.safetensors`" in (result.model_folder / "README.md").read_text()

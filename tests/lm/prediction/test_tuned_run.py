"""Predictions of a run: those that its evaluations score, in order, as texts come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sets import slow_except
from tiny_models import masked_tokenizer_of, write_tiny_model

import zojax
from zojax.lm.prediction import Prediction, TunedRun, load_run
from zojax.lm.tasks import f1, load_task, read_examples
from zojax.lm.training import AdapterConfig, DataConfig, FinetuneConfig, Result, evaluate_run
from zojax.lm.training._run_folder import RunFolder

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")
ROWS = Path(__file__).parents[1] / "tasks" / "data"
LABELS = ("great", "terrible", "abysmal")


@pytest.fixture(scope="module")
def rows(files: dict[str, Path]) -> list[dict[str, str]]:
    return [json.loads(line) for line in files["test"].read_text().splitlines()]


@pytest.fixture(scope="module")
def tuned(run: Result) -> TunedRun:
    return load_run(run.folder, which="last")


def test_predictions_are_those_that_the_run_was_scored_by(
    run: Result, tuned: TunedRun, rows: list[dict[str, str]]
):
    found = tuned.predict([row["text"] for row in rows])
    assert len({prediction.label for prediction in found}) == 3
    hits = [p.label == row["label"] for p, row in zip(found, rows, strict=True)]
    assert np.mean(hits) == pytest.approx(run.tuned.accuracy) == pytest.approx(0.9, abs=0.05)
    # The scores are the probabilities whose logarithm is the loss.
    right = [p.scores[row["label"]] for p, row in zip(found, rows, strict=True)]
    assert -np.log(right).mean() == pytest.approx(run.tuned.loss, rel=1e-5)
    for prediction in found:
        assert (*prediction.scores,) == LABELS == tuned.labels
        assert sum(prediction.scores.values()) == pytest.approx(1)
        assert prediction.label == max(LABELS, key=prediction.scores.get)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_predictions_do_not_depend_on_the_batch(tuned: TunedRun, rows, batch_size: int):
    texts = [row["text"] for row in rows]
    expected, found = tuned.predict(texts[::-1])[::-1], tuned.predict(texts, batch_size=batch_size)
    assert [p.label for p in found] == [p.label for p in expected]
    for one, other in zip(found, expected, strict=True):
        assert [*one.scores.values()] == pytest.approx([*other.scores.values()], abs=1e-5)


def test_texts_are_read_a_few_batches_ahead(tuned: TunedRun):
    read = 0

    def texts() -> Iterator[str | None]:
        nonlocal read
        for number in range(100):
            read += 1
            yield None if number % 9 == 4 else f"{('film', 'story', 'other')[number % 3]} {number}"

    for done, found in enumerate(tuned.predict_each(texts(), batch_size=4)):
        assert done < read <= done + 4 * 4
        assert (found is None) == (done % 9 == 4)
    assert (done, read) == (99, 100)


def test_few_programs_are_compiled(run: Result):
    said: list[str] = []

    class Listener(zojax.lm.training.Observer):
        def status(self, message: str) -> None:
            said.append(message)

    tuned = load_run(run.folder, observer=Listener())
    assert said == [f"loading {run.folder}"]
    for _ in range(2):  # 2 + 2 + 1 texts, the last batch filled up
        tuned.predict(["film", "a " * 60, "story", "other", "film"], batch_size=2)
    # Each label is a row; short rows are padded to 32 tokens, and the model has 48 positions.
    assert [message for message in said if "compiling" in message] == [
        "compiling the forward pass for 6 x 32 tokens",
        "compiling the forward pass for 6 x 48 tokens",
    ]
    tuned.predict(["film"])  # a batch of its own size, for one text is no reason to compute 64
    assert said[-1] == "compiling the forward pass for 3 x 32 tokens"


def test_the_best_step_and_the_step_before_the_first(run: Result, tmp_path: Path):
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "config.json").write_text((run.folder / "config.json").read_text())
    (copy / "model").symlink_to(run.folder / "model")
    first = zojax.lm.models.load(json.loads((copy / "config.json").read_text())["model"])

    def weights(run: TunedRun) -> np.ndarray:
        return np.asarray(run.model.params["embed_tokens"]["embedding"])

    (copy / "results.json").write_text('{"best_step": 30}')
    assert (weights(load_run(copy)) == weights(load_run(run.folder, which="last"))).all()
    (copy / "results.json").write_text('{"best_step": 0}')
    assert (weights(load_run(copy)) == np.asarray(first.params["embed_tokens"]["embedding"])).all()
    assert (weights(load_run(copy)) != weights(load_run(copy, which="last"))).any()
    (copy / "best").symlink_to(first.source)
    (copy / "results.json").write_text('{"best_step": 10}')
    assert (weights(load_run(copy)) != weights(load_run(copy, which="last"))).any()


@pytest.mark.quick
def test_what_is_refused(tuned: TunedRun, run: Result, tmp_path: Path):
    with pytest.raises(ValueError, match=r"load_run: which must be best or last, got 'first'"):
        load_run(run.folder, which="first")
    with pytest.raises(FileNotFoundError, match=r"there is no .*config\.json"):
        load_run(tmp_path)
    with pytest.raises(ValueError, match=r"text 1 must have a non-empty string for text, got ' '"):
        tuned.predict(["film", " "])
    with pytest.raises(ValueError, match=r"texts must be a list of texts, got one"):
        tuned.predict("film")
    with pytest.raises(ValueError, match=r"batch_size must be >= 1, got 0"):
        tuned.predict(["film"], batch_size=0)
    with pytest.raises(ValueError, match=r"generate: the run's task .* which has classes"):
        tuned.generate(["film"])
    assert tuned.predict([]) == []


CASES = {
    "none": ("opt", "none"),
    "lora": ("opt", "lora"),
    "prefix": ("opt", "prefix"),
    "virtual_tokens": ("opt", "virtual_tokens"),
    "head": ("opt", "head"),
    "masked": ("roberta", "none"),
    "masked-lora": ("roberta", "lora"),
}


@pytest.mark.parametrize(("family", "adapter"), slow_except(CASES, "prefix", "masked-lora"))
def test_every_model_and_adapter(
    family: str,
    adapter,
    one_step,
    tiny_opt: Path,
    long_opt: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = long_opt
    if family == "roberta":
        sizes = dict(num_hidden_layers=1, max_position_embeddings=258)
        folder = write_tiny_model(
            tmp_path / "model", "roberta", masked_tokenizer_of(tiny_opt), **sizes
        )
    file = ROWS / "snli.jsonl"
    made = one_step(folder, file, tmp_path / "run", "snli", tuned=AdapterConfig(adapter))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = load_run("../run", which="last")
    examples = read_examples(file, load_task("snli"))
    found = run.predict([example.fields for example in examples])
    right = [p.scores[run.labels[e.label]] for p, e in zip(found, examples, strict=True)]
    assert -np.log(right).mean() == pytest.approx(made.tuned.loss, rel=1e-4)
    hits = [p.label == run.labels[e.label] for p, e in zip(found, examples, strict=True)]
    assert np.mean(hits) == pytest.approx(evaluate_run("../run")["tuned"].scores.accuracy)
    with pytest.raises(ValueError, match=r"text 0 must be a dict of .*, the fields of snli"):
        run.predict(["one"])


def test_answers_are_generated(one_step, tiny_opt: Path, tmp_path: Path):
    task, file = tmp_path / "capitals.toml", tmp_path / "rows.jsonl"
    lines = ['name = "capitals"', 'kind = "generation"', 'template = "{text}\\nIt {label}"']
    task.write_text("\n".join([*lines, "max_new_tokens = 3"]))
    rows = [{"text": f"a film {i}", "answers": ["It was", "a film"]} for i in range(5)]
    file.write_text("\n".join(map(json.dumps, rows)))
    made = one_step(tiny_opt, file, tmp_path / "run", str(task))
    run = load_run(made.folder, which="last")
    answers = run.generate([row["text"] for row in rows])
    scores = [f1(text, row["answers"]) for text, row in zip(answers, rows, strict=True)]
    assert np.mean(scores) == pytest.approx(made.tuned.f1)
    assert any(answers)
    assert [*run.generate_each([None, rows[0]["text"]])] == [None, answers[0]]
    assert run.labels == ()
    with pytest.raises(ValueError, match=r"predict: the run's task .* Use generate\."):
        run.predict(["film"])


def test_choices_are_refused(tiny_opt: Path, tmp_path: Path):
    config = FinetuneConfig(model=str(tiny_opt), data=DataConfig(task="copa"))
    RunFolder(tmp_path, config).write_results({"best_step": 0})
    with pytest.raises(ValueError, match=r"must be one of classification, got copa, whose rows .*"):
        load_run(tmp_path).predict(["film"])


def test_it_is_given_by_the_package(tuned: TunedRun):
    assert zojax.lm.load_run is load_run
    assert "load_run" in dir(zojax.lm)
    assert Prediction("a", {"a": 1.0}).label == "a"

"""Runs that lower minus a metric: what steps lower is what dev is judged by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import zojax.lm.models
from zojax.lm.decoding import texts
from zojax.lm.tasks import Example, Generation, PromptSet, load_task, tokenize
from zojax.lm.training import DataConfig, FinetuneConfig, HyperParameters, Result, finetune

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

TEXTS = ["a film", "a story. a film", "It was", "It was a film", "a", "story", "a story"]
LONG = " ".join(["a film"] * 40)
TASK = """
name = "answers"
kind = "generation"
template = "{text} It was {label}"
max_new_tokens = 6
"""


def run(folder: Path, model: Path, rows: Path, objective: Any, **settings: Any) -> Result:
    """A run whose batches are all its rows, and whose dev and test are those rows too."""
    hyper = HyperParameters(learning_rate=1e-3, eps=1e-6)
    data = DataConfig(train=rows, dev=rows, test=rows, num_buckets=1, **settings)
    count = len(rows.read_text().splitlines())
    config = FinetuneConfig(
        model=str(model),
        start=None if "task" in settings else "words",
        optimizer="mezo",
        objective=objective,
        steps=2,
        batch_size=count,
        log_every=1,
        output=folder,
        data=data,
        hyper=hyper,
    )
    return finetune(config)


def metrics(result: Result) -> list[dict[str, Any]]:
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.slow
def test_f1_of_what_the_model_writes(tiny_opt: Path, tmp_path: Path):
    (tmp_path / "task.toml").write_text(TASK)
    task = load_task(str(tmp_path / "task.toml"))
    model = zojax.lm.models.load(tiny_opt)
    # The long text is cut, and leaves just room for an answer in the 48 tokens of the model.
    inputs = [*TEXTS, LONG]
    tokens = tokenize(task, model.tokenizer, 48)
    prompts = PromptSet.of([Example(text, answers=("x",)) for text in inputs], tokens)
    assert prompts.prompt_lengths.max() == 42
    batch = prompts.batch(np.arange(8), 42, 8, "prompt")
    write = jax.jit(Generation(model, tokens).write)
    written = texts(model.tokenizer, write(model.params, batch))
    # A quarter of the answers is what the model writes, a quarter has a word more.
    answers = ["{}", "zebra", "{} zebra", "zebra"] * 2
    rows = [
        {"text": text, "answers": [answer.format(own)]}
        for text, own, answer in zip(inputs, written, answers, strict=True)
    ]
    result = run(
        tmp_path / "run",
        tiny_opt,
        write_rows(tmp_path / "rows.jsonl", rows),
        "f1",
        task=str(tmp_path / "task.toml"),
        max_length=48,
    )
    before, first, *_ = metrics(result)
    assert before["dev_exact_match"] == 0.25
    assert 0.25 < before["dev_f1"] < 0.5
    np.testing.assert_allclose(first["loss"], -before["dev_f1"], rtol=1e-6)
    scores = json.loads((result.folder / "results.json").read_text())["test"]["zero_shot"]
    assert scores == {
        name: before.get(f"dev_{name}", 8)
        for name in ("accuracy", "loss", "examples", "f1", "exact_match")
    }
    assert result.zero_shot.metric == scores["f1"]


@pytest.mark.parametrize("kind", ["classification", "multiple choice"])
def test_accuracy_of_what_the_model_chooses(kind: str, tiny_opt: Path, tmp_path: Path):
    rows: list[dict[str, Any]] = [{"text": text, "label": i % 2} for i, text in enumerate(TEXTS)]
    settings: dict[str, Any] = {}
    if kind == "multiple choice":
        for row in rows:
            row["choices"] = ["was great", "was a film. It was terrible"]
        (tmp_path / "task.toml").write_text(
            'name = "t"\nkind = "multiple_choice"\ntemplate = "{text} It {label}"'
        )
        settings["task"] = str(tmp_path / "task.toml")
    path = write_rows(tmp_path / "rows.jsonl", rows)
    result = run(tmp_path / "run", tiny_opt, path, "accuracy", **settings)
    before, first, *_ = metrics(result)
    assert 0 < before["dev_accuracy"] < 1
    np.testing.assert_allclose(first["loss"], -before["dev_accuracy"], rtol=1e-6)
    assert "dev_f1" not in before
    scores = json.loads((result.folder / "results.json").read_text())["test"]["zero_shot"]
    assert set(scores) == {"accuracy", "loss", "examples"}

"""Zero-shot and in-context learning: what is measured, and what the model reads meanwhile."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zojax.lm.baselines import Measured, _measured, in_context, linear_probe, zero_shot
from zojax.lm.models import load
from zojax.lm.tasks import load_task
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    Observer,
    Scores,
    finetune,
)

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

WORDS = load_task("rotten-tomatoes").label_words


class Listener(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.scores: dict[str, Scores] = {}

    def status(self, message: str) -> None:
        self.lines.append(message)

    def measured(self, name: str, scores: Scores) -> None:
        self.scores[name] = scores


def test_zero_shot_is_what_a_run_begins_with(base: FinetuneConfig, tmp_path: Path):
    listener = Listener()
    found = zero_shot(base, listener)
    run = dataclasses.replace(
        base, optimizer="sgd", steps=1, hyper=HyperParameters(), output=tmp_path / "run"
    )
    result = finetune(run)
    assert found.test == result.zero_shot
    assert listener.scores == {"zero-shot": found.test}
    first = json.loads((result.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert (first["dev_accuracy"], first["dev_loss"]) == (found.dev.accuracy, found.dev.loss)
    # 12 dev and 16 test examples, a row each.
    assert (found.rows_read, found.chosen) == (28, {})
    assert json.loads(json.dumps(found.to_dict()))["test"]["loss"] == found.test.loss


def test_candidates_are_rows_of_their_own(base: FinetuneConfig):
    """Label words of several tokens take a row each."""
    data = dataclasses.replace(base.data, label_words=("abysmal", "great"))
    assert zero_shot(dataclasses.replace(base, data=data)).rows_read == 2 * 28


def shown(
    config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Measured, list[list[str]], list[int]]:
    """What in-context learning finds, the parts of each test row that it reads, their lengths."""
    batches: list[Any] = []

    def evaluate(totals: Any, params: Any, given: Any) -> Scores:
        batches.append(given)
        return real(totals, params, given)

    real = _measured.evaluate
    monkeypatch.setattr(_measured, "evaluate", evaluate)
    found = in_context(config, **options)
    _, test = batches
    decode = load(config.model).tokenizer.decode
    rows = [
        (batch.input_ids[i], int(batch.attention_mask[i].sum()))
        for batch in test.batches
        for i in np.flatnonzero(batch.weights)
    ]
    texts = [decode(ids[1:length]).split("\n\n") for ids, length in rows]
    return found, texts, [length for _, length in rows]


def texts_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prompts_begin_with_as_many_solved_examples_as_fit(
    base: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
):
    data = dataclasses.replace(base.data, max_length=16)
    listener = Listener()
    found, rows, lengths = shown(
        dataclasses.replace(base, data=data), monkeypatch, observer=listener
    )
    model_length = load(base.model).max_length
    assert data.max_length < max(lengths) <= model_length
    solved = {
        f"{example['text']} It was {WORDS[example['label']]}"
        for example in texts_of(base.data.train)
    }
    for *demonstrations, prompt in rows:
        assert len(set(demonstrations)) == len(demonstrations) > 0
        assert set(demonstrations) <= solved
        assert prompt.endswith("It was")
    prompts = {prompt for *_, prompt in rows}
    assert prompts == {f"{example['text']} It was" for example in texts_of(base.data.test)}

    counts = [len(row) - 1 for row in rows]
    fits = {"fewest": min(counts), "mean": round(float(np.mean(counts)), 2)}
    assert found.chosen == {"drawn": 32, **fits}
    assert max(counts) < 32  # some were cut from the list, and this is said
    assert any(f"with {fits['mean']:g} of 32 demonstrations" in line for line in listener.lines)
    assert listener.scores == {"in-context": found.test}
    assert (found.test.examples, found.rows_read) == (16, 28)

    one = in_context(dataclasses.replace(base, data=data), demonstrations=1)
    assert one.chosen == {"drawn": 1, "fewest": 1, "mean": 1}
    assert one.test != found.test


def test_batches_have_no_more_tokens_than_in_other_runs(
    base: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
):
    shapes: list[tuple[int, ...]] = []
    real = _measured.evaluate

    def evaluate(totals: Any, params: Any, batches: Any) -> Scores:
        shapes.extend(batch.input_ids.shape for batch in batches.batches)
        return real(totals, params, batches)

    monkeypatch.setattr(_measured, "evaluate", evaluate)
    data = dataclasses.replace(base.data, max_length=16)
    in_context(dataclasses.replace(base, data=data, eval_batch_size=8))
    assert all(16 * 4 < rows * length <= 16 * 8 for rows, length in shapes)


@pytest.mark.quick
def test_the_seed_draws_the_demonstrations(base: FinetuneConfig):
    first, again, other = (
        in_context(dataclasses.replace(base, seed=seed)).test for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.quick
def test_refusals(base: FinetuneConfig, tiny_roberta: Path):
    lora = dataclasses.replace(base, tuned=AdapterConfig("lora"))
    for name, baseline in (("zero_shot", zero_shot), ("in_context", in_context)):
        with pytest.raises(ValueError, match=f"{name}: adapter must be none, .* got lora"):
            baseline(lora)
    with pytest.raises(ValueError, match="in_context: the model must be causal"):
        in_context(dataclasses.replace(base, model=str(tiny_roberta)))
    with pytest.raises(ValueError, match="count must be >= 1"):
        in_context(base, demonstrations=0)


def test_choices_are_measured_too(base: FinetuneConfig):
    rows = Path(__file__).parents[1] / "tasks" / "data" / "copa.jsonl"
    data = DataConfig(task="copa", train=rows, test=rows, num_buckets=1)
    found = zero_shot(dataclasses.replace(base, data=data))
    assert found.rows_read == 2 * (found.dev.examples + found.test.examples)


@pytest.mark.parametrize("baseline", [zero_shot, in_context, linear_probe])
def test_wrong_rows_are_said_before_the_model_loads(
    baseline: Any, base: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_measured, "load_model", lambda _: pytest.fail("the model loads"))
    (tmp_path / "train.csv").write_text("text,label\na film,0\na story,maybe\n")
    data = dataclasses.replace(base.data, train=tmp_path / "train.csv")
    with pytest.raises(ValueError, match=r"train\.csv:3: label"):
        baseline(dataclasses.replace(base, data=data))

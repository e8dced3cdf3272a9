"""Linear probing: what it reads, that it learns what can be learnt, and what it refuses."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_models import tokenizer_of, write_tiny_model

from zojax.lm.baselines import linear_probe, zero_shot
from zojax.lm.baselines._rows import choice_rows, hidden_states, question_rows
from zojax.lm.models import LanguageModel, load
from zojax.lm.tasks import Example, PromptSet, Task, tokenize
from zojax.lm.training import AdapterConfig, DataConfig, FinetuneConfig

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

ROWS = Path(__file__).parents[1] / "tasks" / "data"
CHOOSE = """
name = "choose"
kind = "multiple_choice"
template = "{text} It was {label}"
masked_template = "{text} It was {label}."
"""


@pytest.fixture(params=["opt", "roberta"])
def folder(request: pytest.FixtureRequest, tiny_opt: Path, tiny_roberta: Path) -> Path:
    return {"opt": tiny_opt, "roberta": tiny_roberta}[request.param]


def test_it_learns_what_the_states_tell_apart(base: FinetuneConfig, folder: Path):
    config = dataclasses.replace(base, model=str(folder))
    found = linear_probe(config)
    assert (found.dev.accuracy, found.test.accuracy) == (1.0, 1.0)
    assert found.test.loss < 0.3
    assert zero_shot(config).test.accuracy < 0.8
    assert found.rows_read == 40 + 12 + 16
    assert found.test.examples == 16


def test_the_penalty_is_chosen_on_dev(base: FinetuneConfig, monkeypatch: pytest.MonkeyPatch):
    """Of equal accuracies, the least loss: a stronger penalty is less sure of what is right."""
    from zojax.lm.baselines import _linear_probe

    losses: dict[float, float] = {}
    for strength in (1e-5, 10.0):
        monkeypatch.setattr(_linear_probe, "_GRID", (strength,))
        found = linear_probe(base)
        assert found.chosen == {"C": strength}
        losses[strength] = found.dev.loss
    monkeypatch.undo()
    assert losses[10.0] < losses[1e-5]
    assert linear_probe(base).chosen == {"C": 10.0}


def test_choices_are_read_whole_and_compared(write_files: Any, folder: Path, tmp_path: Path):
    """Which choice is right is known from its own words alone, and its place tells nothing."""
    task = tmp_path / "choose.toml"
    task.write_text(CHOOSE)

    def row(i: int) -> dict[str, Any]:
        choices = [f"a story {i}", "film"]
        more = ["story"] if i % 3 == 0 else []
        right = i % 2
        return {
            "text": f"It {i}",
            "choices": (choices if right else choices[::-1]) + more,
            "label": right,
        }

    data = DataConfig(task=str(task), **write_files(row), num_buckets=1)
    found = linear_probe(FinetuneConfig(model=str(folder), eval_batch_size=16, data=data))
    assert found.test.accuracy == 1.0
    assert found.test.loss < 0.3
    # Two choices for each of the 40, 12 and 16 examples, and a third for every third of them.
    assert found.rows_read == 2 * (40 + 12 + 16) + 14 + 4 + 6


def prompts(task: Task, model: LanguageModel, *examples: Example) -> PromptSet:
    tokens = tokenize(task, model.tokenizer, 40, kind=model.kind)
    return PromptSet.of(examples, tokens)


def read(model: LanguageModel, ids: list[int]) -> str:
    return model.tokenizer.decode(ids)


def test_the_state_is_where_the_answer_goes(tiny_opt: Path, tiny_roberta: Path):
    task = Task(
        "t", "classification", "{text} It was {label}", ("abysmal", "great"), "{label}: {text}"
    )
    example = Example("a film", 1)
    opt, roberta = load(tiny_opt), load(tiny_roberta)
    ((ids, position),) = question_rows(prompts(task, opt, example))
    assert (read(opt, ids), position) == ("</s>a film It was", len(ids) - 1)
    ((ids, position),) = question_rows(prompts(task, roberta, example))
    assert ids[position] == roberta.tokenizer.mask_token_id != ids[position - 1]
    assert read(roberta, ids).endswith("<mask>: a film</s>")


def test_a_choice_is_read_to_its_last_token(tiny_opt: Path, tiny_roberta: Path):
    task = Task("t", "multiple_choice", "{text} It was {label}", masked_template="{text}: {label}.")
    example = Example("a film", 0, choices=("abysmal", "great"))
    for folder, ending in ((tiny_opt, " It was abysmal"), (tiny_roberta, ": abysmal.</s>")):
        model = load(folder)
        ((first, _),) = choice_rows(prompts(task, model, example))
        assert read(model, first.ids).endswith(f"a film{ending}")
        assert read(model, first.ids[: first.position + 1]).endswith("abysmal")
        assert read(model, first.ids[: first.position]).endswith("abysma")


def test_states_are_those_of_each_row_alone(folder: Path):
    model = load(folder)
    task = Task("t", "classification", "{text} It {label}", ("no", "yes"), "{text} {label} It")
    examples = [Example("film " * words, 0) for words in (1, 9, 2)]
    rows = question_rows(prompts(task, model, *examples))
    found = hidden_states(model, rows, batch_size=2, num_buckets=2, announce=lambda line: None)
    assert found.dtype == np.float32
    run = jax.jit(model.hidden)
    for (ids, position), state in zip(rows, found, strict=True):
        alone, _ = run(model.params, jnp.array([ids]), jnp.ones((1, len(ids)), jnp.int32))
        np.testing.assert_allclose(state, alone[0, position], atol=2e-5)


@pytest.mark.quick
def test_refusals(base: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="linear_probe: adapter must be none"):
        linear_probe(dataclasses.replace(base, tuned=AdapterConfig("head")))
    rows = dict.fromkeys(("train", "test"), ROWS / "squad.jsonl")
    longer = write_tiny_model(
        tmp_path / "longer", "opt", tokenizer_of(Path(base.model)), max_position_embeddings=200
    )
    data = DataConfig(task="squad", **rows, max_length=200)
    writing = dataclasses.replace(base, model=str(longer), data=data)
    with pytest.raises(ValueError, match=r"linear_probe: .* got squad, a generation task"):
        linear_probe(writing)
    (tmp_path / "one.jsonl").write_text('{"text": "a", "label": 1}\n' * 4)
    one = dataclasses.replace(base.data, train=tmp_path / "one.jsonl")
    with pytest.raises(ValueError, match=r"train must have examples of every class, .* \[0\]"):
        linear_probe(dataclasses.replace(base, data=one))
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ImportError, match=r'needs scikit-learn: pip install "zojax\[probe\]"'):
        linear_probe(base)

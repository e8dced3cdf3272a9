"""Objectives that are metrics: by hand from scores and texts."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax.lm.models
from zojax.lm.decoding import texts
from zojax.lm.models import LanguageModel
from zojax.lm.tasks import (
    Classification,
    Example,
    Generation,
    MultipleChoice,
    PromptSet,
    Task,
    f1,
    negative_accuracy,
    negative_f1,
    tokenize,
)

WORDS = ("terrible", "so bad", "great")
TEXTS = ["a film", "a story. a film", "It was", "It was a film", "a", "story"]


@pytest.fixture(scope="module")
def model(tiny_opt: Path) -> LanguageModel:
    return zojax.lm.models.load(tiny_opt)


def test_minus_accuracy_counts_what_is_right(model: LanguageModel):
    tokens = tokenize(
        Task("t", "classification", "{text} It was {label}", WORDS), model.tokenizer, 48
    )
    examples = [Example(text, i % 3) for i, text in enumerate(TEXTS)]
    # One place more than examples: what fills the batch up must not count.
    batch = PromptSet.of(examples, tokens).batch(np.arange(6), 40, 7, "candidates")
    task = Classification(model, tokens)
    scores = np.asarray(jax.jit(task.scores)(model.params, batch))[:6]
    right = (scores.argmax(1) == np.arange(6) % 3).mean()
    assert 0 < right < 1
    loss = jax.jit(negative_accuracy(task))(model.params, batch)
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    np.testing.assert_allclose(loss, -right, rtol=1e-6)


def test_minus_accuracy_of_choices(model: LanguageModel):
    """A step on candidates: the right choice alone would always be the best."""
    tokens = tokenize(Task("t", "multiple_choice", "{text} It {label}"), model.tokenizer, 48)
    choices = ("was great", "was", "a film. It was terrible")
    examples = [Example(text, i % 3, choices=choices) for i, text in enumerate(TEXTS)]
    batch = PromptSet.of(examples, tokens).batch(np.arange(6), 40, 6, "candidates")
    task = MultipleChoice(model, tokens)
    scores = np.asarray(jax.jit(task.scores)(model.params, batch))
    right = (scores.argmax(1) == np.arange(6) % 3).mean()
    assert 0 < right < 1
    loss = jax.jit(negative_accuracy(task))(model.params, batch)
    np.testing.assert_allclose(loss, -right, rtol=1e-6)


@pytest.fixture
def generation(model: LanguageModel) -> tuple[Generation, PromptSet]:
    """Examples of which every other's answer is what the model writes, and half of it."""
    task = Task("t", "generation", "{text} It was {label}", max_new_tokens=6)
    tokens = tokenize(task, model.tokenizer, 48)
    solver = Generation(model, tokens)
    prompts = PromptSet.of([Example(text, answers=("x",)) for text in TEXTS], tokens)
    batch = prompts.batch(np.arange(6), 16, 6, "prompt")
    written = texts(model.tokenizer, jax.jit(solver.write)(model.params, batch))
    assert all(text.split() for text in written)
    examples = [
        Example(text, answers=("nothing", f"{own} zebra") if i % 2 else ("zebra",))
        for i, (text, own) in enumerate(zip(TEXTS, written, strict=True))
    ]
    return solver, PromptSet.of(examples, tokens)


@pytest.mark.slow
def test_minus_f1_compares_texts_with_their_own_answers(
    model: LanguageModel, generation: tuple[Generation, PromptSet]
):
    solver, prompts = generation
    members = np.array([3, 0, 5])
    batch = prompts.batch(members, 16, 4, "prompt")
    written = texts(model.tokenizer, jax.jit(solver.write)(model.params, batch))
    scores = [
        f1(text, prompts.examples[i].answers) for text, i in zip(written, members, strict=False)
    ]
    assert scores[1] == 0 < min(scores[0], scores[2])
    loss = jax.jit(negative_f1(solver, prompts.examples))(model.params, batch)
    np.testing.assert_allclose(loss, -np.mean(scores), rtol=1e-6)

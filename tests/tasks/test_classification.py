"""The objective: label words scored as their definition says."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

import zojax.models
from zojax.models import LanguageModel
from zojax.tasks import Classification, Example, Prompt, PromptSet, tokenize

EXAMPLES = [Example("a film", 1), Example("a story. a film", 0), Example("It was", 1)]
WORDS = {"one token": ("terrible", "great"), "several tokens": ("terrible", "so bad", "great")}


@pytest.fixture(scope="module")
def model(tiny_opt: Path) -> LanguageModel:
    return zojax.models.load(tiny_opt)


def scores_by_hand(model: LanguageModel, words: tuple[str, ...]) -> np.ndarray:
    """Mean log-likelihood of each word's tokens after each prompt, one sequence at a time."""
    apply = jax.jit(model.apply)

    def score(text: str, word: str) -> float:
        prompt = model.tokenizer(f"{text} It was", add_special_tokens=False).input_ids
        label = model.tokenizer(f" {word}", add_special_tokens=False).input_ids
        ids = np.zeros((1, 40), np.int32)
        row = [model.tokenizer.bos_token_id, *prompt, *label]
        ids[0, : len(row)] = row
        mask = (np.arange(40) < len(row)).astype(np.int32)[None]
        log_p = np.asarray(jax.nn.log_softmax(apply(model.params, ids, mask)))[0]
        start = len(prompt)
        return float(np.mean([log_p[start + j, token] for j, token in enumerate(label)]))

    return np.array([[score(example.text, word) for word in words] for example in EXAMPLES])


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_scores_loss_and_hits_are_by_definition(model: LanguageModel, words: tuple[str, ...]):
    expected = scores_by_hand(model, words)
    tokens = tokenize(Prompt(label_words=words), model.tokenizer, 48)
    task = Classification(model, tokens)
    # One place more than examples: what fills the batch up must not count.
    batch = PromptSet.of(EXAMPLES, tokens).batch(np.arange(3), 40, 4)

    @jax.jit
    def measure(params, batch):
        return task.scores(params, batch), task.totals(params, batch), task.loss(params, batch)

    scores, totals, loss = measure(model.params, batch)
    scores = np.asarray(scores)[:3]
    if tokens.one_token:  # logits: right up to a constant of the row
        scores, expected = (s - s.mean(1, keepdims=True) for s in (scores, expected))
    np.testing.assert_allclose(scores, expected, atol=1e-5)

    labels = np.array([example.label for example in EXAMPLES])
    chosen = expected - np.log(np.exp(expected).sum(1, keepdims=True))
    losses = -chosen[np.arange(3), labels]
    np.testing.assert_allclose(totals.loss, losses.sum(), rtol=1e-5)
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)
    assert int(totals.correct) == (expected.argmax(1) == labels).sum()
    assert int(totals.examples) == 3


@pytest.mark.usefixtures("standard_promotion")  # flax's LayerNorm promotes
def test_loss_is_float32_in_bfloat16(tiny_opt: Path):
    model = zojax.models.load(tiny_opt, dtype="bfloat16")
    for words in WORDS.values():
        tokens = tokenize(Prompt(label_words=words), model.tokenizer, 48)
        batch = PromptSet.of(EXAMPLES, tokens).batch(np.arange(3), 40, 3)
        loss = jax.eval_shape(Classification(model, tokens).loss, model.params, batch)
        assert (loss.shape, loss.dtype) == ((), np.float32)

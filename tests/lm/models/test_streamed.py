"""Every family under zojax's own evaluation of perturbed weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax
import zojax.lm.models
from zojax.lm.models import LanguageModel

LENGTHS = np.array([12, 7])
MASK = (np.arange(12) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)


def two_steps(model: LanguageModel, evaluation: str) -> tuple[Any, list[float]]:
    tx = zojax.mezo(1e-3, eps=1e-2, key=jax.random.key(0), evaluation=evaluation)
    tokens, labels = np.array([5, 9, 200], np.int32), np.array([0, 2], np.int32)

    def loss(params: Any) -> jax.Array:
        logits = model.logits_at(params, IDS, MASK, LENGTHS[:, None] - 1, tokens)[:, 0]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @partial(jax.jit, donate_argnums=1, compiler_options=zojax.compiler_options())
    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(None, state, params, value_fn=loss)
        return optax.apply_updates(params, updates), state

    params, state, values = model.params, tx.init(model.params), []
    for _ in range(2):
        params, state = step(params, state)
        values.append(float(optax.tree_utils.tree_get(state, "value")))
    assert step._cache_size() == 1
    return params, values


def load(write_model: Any, family: str, dtype: Any = "float32") -> LanguageModel:
    folder, _ = write_model(family, num_hidden_layers=1, tie_word_embeddings=family != "llama")
    return zojax.lm.models.load(folder, dtype=dtype)


@pytest.mark.parametrize(
    "family", slow_except(["opt", "roberta", "llama", "qwen3", "gemma3_text"], "qwen3")
)
def test_streamed_is_a_perturbed_copy(write_model: Any, family: str):
    model = load(write_model, family)
    streamed, values = two_steps(model, "streamed")
    copied, expected = two_steps(model, "copy")
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), streamed, model.params)
    most = max(jax.tree.leaves(moved))
    assert min(jax.tree.leaves(moved)) > 0
    jax.tree.map(partial(np.testing.assert_allclose, atol=most / 50), streamed, copied)


def test_streamed_in_bfloat16(write_model: Any):
    """LLaMA mixes dtypes in its norms and its rotary embedding."""
    model = load(write_model, "llama", "bfloat16")
    streamed, values = two_steps(model, "streamed")
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(streamed)} == {"bfloat16"}
    assert np.all(np.isfinite(values))

"""Every family under zojax's own evaluation of perturbed weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax
import zojax.models
from zojax.models import LanguageModel

LENGTHS = np.array([12, 7])
MASK = (np.arange(12) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)


def two_steps(model: LanguageModel, evaluation: str) -> tuple[Any, list[float]]:
    tx = zojax.mezo(1e-3, 1e-2, jax.random.key(0), evaluation=evaluation)
    tokens = np.array([5, 9, 200], np.int32)

    def loss(params: Any) -> jax.Array:
        logits = model.logits_at(params, IDS, MASK, LENGTHS[:, None] - 1, tokens)[:, 0]
        few = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([0, 2]))
        every = jax.nn.logsumexp(model.apply(params, IDS, MASK), axis=-1)
        return few.mean() + 0.01 * (every * MASK.astype(np.float32)).mean()

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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("family", "tied"), [("opt", True), ("roberta", True), ("llama", False), ("mistral", True)]
)
def test_streamed_is_a_perturbed_copy(write_model: Any, family: str, tied: bool, dtype: Any):
    folder, _ = write_model(family, tie_word_embeddings=tied)
    model = zojax.models.load(folder, dtype=dtype)
    streamed, values = two_steps(model, "streamed")
    copied, expected = two_steps(model, "copy")
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(streamed)} == {dtype}
    rounding = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(values, expected, rtol=rounding)
    if dtype == "float32":
        moved = [
            np.abs(a - b).max()
            for a, b in zip(jax.tree.leaves(streamed), jax.tree.leaves(model.params), strict=True)
        ]
        # RoBERTa's only segment embedding moves as well: every leaf has a part in the loss.
        assert min(moved) > 0
        jax.tree.map(partial(np.testing.assert_allclose, atol=max(moved) / 50), streamed, copied)

"""A cache holds what the columns before have left: going on is the same as going at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from sets import slow_except

import zojax.lm.models
from zojax.lm.models import LanguageModel

FAMILIES = ["opt", "llama", "mistral", "gemma2", "gemma3_text"]
causal = pytest.mark.parametrize("family", slow_except(FAMILIES, "opt", "gemma3_text"))

# The second row's columns 5 to 8 are padding between its two parts.
FIRST, TOTAL = 9, 14
MASK = np.ones((2, TOTAL), np.int32)
MASK[1, 5:FIRST] = 0
IDS = np.random.default_rng(0).integers(3, 300, MASK.shape).astype(np.int32)


@pytest.fixture
def model(write_model: Any, family: str) -> LanguageModel:
    # Mistral with a window that is shorter than the rows.
    window = {"sliding_window": 6} if family == "mistral" else {}
    return zojax.lm.models.load(write_model(family, **window)[0])


def at_once(model: LanguageModel) -> np.ndarray:
    """Hidden states of the last columns; the second row's without padding in between."""
    hidden, cache = jax.jit(model.hidden)(model.params, IDS, MASK)
    assert cache is None
    tokens = MASK[1] > 0
    short, _ = jax.jit(model.hidden)(model.params, IDS[1:, tokens], MASK[1:, tokens])
    return np.stack([hidden[0, FIRST:], short[0, 5:]])


@causal
def test_going_on_is_going_at_once(model: LanguageModel):
    """All the rest in one go; or token by token in a compiled loop, with a mask of all columns."""
    mask = np.pad(MASK, ((0, 0), (0, 30 - TOTAL)))

    @jax.jit
    def go_on(params: Any):
        assert model.init_cache is not None
        cache = model.init_cache(2, 30, jnp.float32)
        _, cache = model.hidden(params, IDS[:, :FIRST], MASK[:, :FIRST], cache)
        in_one_go, _ = model.hidden(params, IDS[:, FIRST:], MASK, cache)

        def step(cache: Any, ids: Any):
            hidden, cache = model.hidden(params, ids[:, None], mask, cache)
            return cache, hidden[:, 0]

        return in_one_go, lax.scan(step, cache, jnp.asarray(IDS[:, FIRST:].T))[1]

    in_one_go, steps = go_on(model.params)
    expected = at_once(model)
    np.testing.assert_allclose(in_one_go, expected, atol=1e-5)
    np.testing.assert_allclose(np.swapaxes(steps, 0, 1), expected, atol=1e-5)


@causal
def test_a_cache_in_bfloat16(write_model: Any, family: str):
    model = zojax.lm.models.load(write_model(family)[0], dtype="bfloat16")
    assert model.init_cache is not None
    cache = model.init_cache(2, TOTAL)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(cache)} == {"bfloat16", "int32"}
    _, written = jax.jit(model.hidden)(model.params, IDS, MASK, cache)
    assert jax.tree.structure(written) == jax.tree.structure(cache)
    assert jax.tree.map(jnp.shape, written) == jax.tree.map(jnp.shape, cache)


@pytest.mark.quick
@pytest.mark.parametrize("family", ["opt", "gemma3_text"])
def test_lengths_that_cannot_be(model: LanguageModel):
    assert model.init_cache is not None
    assert model.max_length == 40
    with pytest.raises(ValueError, match=r"init_cache: .* must number 1 to 40 .* got 41"):
        model.init_cache(1, 41)
    with pytest.raises(ValueError, match=r"hidden: the columns of a row.* got 41"):
        model.hidden(model.params, np.ones((1, 41), np.int32), np.ones((1, 41), np.int32))
    cache = model.init_cache(2, 20)
    for columns in (3, 21):
        with pytest.raises(ValueError, match=f"must have 4 to 20 columns.* got {columns}"):
            model.hidden(model.params, IDS[:, :4], np.ones((2, columns), np.int32), cache)
    with pytest.raises(ValueError, match="must have 14 to 14 columns"):
        model.hidden(model.params, IDS, MASK[:, :3])


def test_a_masked_model_has_no_cache(write_model: Any):
    model = zojax.lm.models.load(write_model("roberta")[0])
    assert model.init_cache is None
    with pytest.raises(ValueError, match="cache must be None for a roberta model"):
        model.hidden(model.params, IDS, MASK, {"cached_key": jnp.zeros((2, 2, 20, 4, 4))})

"""Greedy decoding: the tokens of full forward passes, with any adapter, at perturbed weights."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax
from zojax.lm.adapters import HeadTuning, LoRA, Prefix, VirtualTokens
from zojax.lm.decoding import greedy
from zojax.lm.models import LanguageModel

LENGTHS = np.array([7, 4, 1])
MASK = (np.arange(7) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)
NEW, COLUMNS = 8, 15
ADAPTERS = {
    "lora": LoRA(),
    "prefix": Prefix(3),
    "virtual tokens": VirtualTokens(3),
    "head": HeadTuning(),
}


def adapted(model: LanguageModel, name: str) -> LanguageModel:
    """With an adapter of random values: a fresh one, such as LoRA with B = 0, changes nothing."""
    if name == "none":
        return model
    adapter = ADAPTERS[name]

    def draw(leaf: Any) -> Any:
        return 0.5 * jax.random.normal(jax.random.key(leaf.size), leaf.shape)

    own = jax.eval_shape(lambda: adapter.initial(model, jax.random.key(0)))
    return adapter.wrap(model, jax.tree.map(draw, own))


def write(model: LanguageModel, stops: list[int]) -> Any:
    return partial(
        greedy, model, input_ids=IDS, attention_mask=MASK, max_new_tokens=NEW, stop_tokens=stops
    )


def write_without_cache(model: LanguageModel, stops: list[int], quick: Any) -> np.ndarray:
    """A whole forward pass over each row alone, with no padding between tokens, for each token."""

    @quick
    def logits(params: Any, ids: Any, count: Any) -> Any:
        mask = (jnp.arange(COLUMNS) < count).astype(jnp.int32)[None]
        return model.logits_at(params, ids, mask, jnp.reshape(count - 1, (1, 1)))[0, 0]

    written = np.full((len(IDS), NEW), -1)
    for row, length in enumerate(LENGTHS):
        ids = np.ones((1, COLUMNS), np.int32)
        ids[0, :length] = IDS[row, :length]
        for i in range(NEW):
            token = int(np.argmax(logits(model.params, ids, length + i)))
            written[row, i] = ids[0, length + i] = token
            if token in stops:
                break
    return written


@pytest.mark.parametrize(
    ("family", "adapter"),
    [
        ("opt", "none"),
        ("llama", "prefix"),
        ("opt", "lora"),
        ("llama", "virtual tokens"),
        *(
            pytest.param(family, name, marks=pytest.mark.slow)
            for family, name in (
                ("llama", "none"),
                ("opt", "prefix"),
                ("mistral", "none"),
                ("mistral", "prefix"),
                ("mistral", "head"),
            )
        ),
    ],
)
def test_tokens_are_those_of_full_forward_passes(load: Any, quick: Any, family: str, adapter: str):
    model = adapted(load(family), adapter)
    expected = write_without_cache(model, [], quick)
    written = quick(write(model, []))(model.params)
    assert written.dtype == jnp.int32
    np.testing.assert_array_equal(written, expected)
    # The rows differ, and so do their tokens: a model that repeats itself would hide mistakes.
    assert len(np.unique(expected)) > 3


@pytest.mark.quick
def test_a_row_ends_at_a_stop_token_and_the_others_go_on(load: Any, quick: Any):
    model = load("opt")
    free = np.asarray(quick(write(model, []))(model.params))
    stops = [int(free[0, 2]), int(free[1, 5])]
    written = np.asarray(quick(write(model, stops))(model.params))
    np.testing.assert_array_equal(written, write_without_cache(model, stops, quick))
    assert sorted((written >= 0).sum(1).tolist())[0] <= 3
    for row, whole in zip(written, free, strict=True):
        end = (row >= 0).sum()
        np.testing.assert_array_equal(row[:end], whole[:end])
        assert (row[end:] == -1).all()
        assert end == NEW or row[end - 1] in stops


def test_no_token_is_computed_when_all_rows_have_ended(load: Any, quick: Any):
    """The loop's passes, counted: one token each after the first, and none without need."""
    model = load("opt")
    passes: list[int] = []

    def hidden(params: Any, ids: Any, *others: Any) -> Any:
        jax.debug.callback(lambda: passes.append(ids.shape[1]))
        return model.hidden(params, ids, *others)

    counted = dataclasses.replace(model, hidden=hidden)
    first = np.asarray(quick(write(counted, []))(model.params))[:, 0]
    jax.effects_barrier()
    assert sorted(passes) == [1] * (NEW - 1) + [7]
    passes.clear()
    quick(write(counted, first.tolist()))(model.params)
    jax.effects_barrier()
    assert passes == [7]


@pytest.mark.parametrize(("family", "adapter"), [("opt", "none"), ("mistral", "prefix")])
def test_a_perturbed_model_writes_as_its_perturbed_parameters_do(
    load: Any, quick: Any, family: str, adapter: str
):
    """Streamed: every token reads weights perturbed by the same z, that of a perturbed copy."""
    model = adapted(load(family), adapter)
    place = jnp.asarray(np.random.default_rng(1).normal(size=(3, NEW)), jnp.float32)

    def value(params: Any) -> Any:
        """A number that tells what was written."""
        return jnp.sum(write(model, [])(params).astype(jnp.float32) * place)

    values = {}
    for evaluation in ("streamed", "copy"):
        tx = zojax.spsa(0.3, key=0, direction=zojax.Rademacher(), evaluation=evaluation)

        @quick
        def slope(params: Any, tx: Any = tx) -> Any:
            updates, state = tx.update(None, tx.init(params), params, value_fn=value)
            return state.value, jax.tree.leaves(updates)[0]

        values[evaluation] = slope(model.params)
    np.testing.assert_allclose(values["streamed"][0], values["copy"][0], rtol=1e-5)
    np.testing.assert_allclose(values["streamed"][1], values["copy"][1], rtol=1e-4)
    # The perturbation changes what is written, at one end at least.
    assert abs(float(values["copy"][0] - quick(value)(model.params))) > 1
    assert np.abs(values["copy"][1]).max() > 0


def test_what_cannot_write_says_why(load: Any):
    model = load("opt")
    with pytest.raises(ValueError, match="greedy: max_new_tokens must be >= 1, got 0"):
        greedy(model, model.params, IDS, MASK, max_new_tokens=0, stop_tokens=[])
    with pytest.raises(ValueError, match=r"init_cache: .* 1 to 48 .* got 56"):
        greedy(model, model.params, IDS, MASK, max_new_tokens=50, stop_tokens=[])
    masked = load("roberta")
    with pytest.raises(ValueError, match="greedy: model must be causal, got a roberta model"):
        greedy(masked, masked.params, IDS, MASK, max_new_tokens=5, stop_tokens=[])

"""Every adapter on every family: what it adds, shares and moves."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax
from zojax.lm.adapters import Adapter, HeadTuning, LoRA, Prefix, VirtualTokens
from zojax.lm.adapters._modules import random_tokens
from zojax.lm.models import LanguageModel

FAMILIES = ["opt", "roberta", "llama", "mistral"]
CAUSAL = ["opt", "llama", "mistral"]
ADAPTERS = {
    "lora": LoRA(rank=2),
    "prefix": Prefix(length=3),
    "virtual tokens": VirtualTokens(length=3),
    "head": HeadTuning(),
}
# By default each adapter in a model of another family.
every_pair = pytest.mark.parametrize(
    ("adapter", "family"),
    slow_except(
        {f"{a}-{f}": (adapter, f) for a, adapter in ADAPTERS.items() for f in FAMILIES},
        *("lora-mistral", "prefix-roberta", "virtual tokens-opt", "head-llama"),
    ),
)

IDS = jnp.array([[2, 5, 6, 7, 8], [2, 9, 10, 1, 1]], jnp.int32)
MASK = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], jnp.int32)
POSITIONS = jnp.array([[4], [2]], jnp.int32)
TOKENS = jnp.array([7, 250, 3], jnp.int32)


def loss(model: LanguageModel, params) -> jax.Array:
    logits = model.logits_at(params, IDS, MASK, POSITIONS, TOKENS)[:, 0]
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([0, 2])).mean()


def bits(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf).tobytes(), tree)


@every_pair
def test_a_step_moves_the_adapter_alone(adapter: Adapter, family: str, load, quick):
    base = load(family, num_hidden_layers=1)
    model = adapter.adapt(base, 0)
    params = model.params
    assert params.keys() == {"model", "adapter"}
    # The base's own arrays, not copies of them.
    shared = jax.tree.map(lambda ours, theirs: ours is theirs, params["model"], base.params)
    assert all(jax.tree.leaves(shared))

    def step(evaluation: str):
        tx = zojax.mezo(learning_rate=1e-2, eps=1e-3, key=1, evaluation=evaluation)
        tx = zojax.select(tx, "adapter/*")

        @quick
        def step(params):
            value_fn = partial(loss, model)
            updates, _ = tx.update(None, tx.init(params), params, value_fn=value_fn)
            return optax.apply_updates(params, updates)

        return step(params)

    streamed, copy = step("streamed"), step("copy")
    assert bits(streamed["model"]) == bits(base.params)
    for ours, theirs, before in zip(
        *map(jax.tree.leaves, (streamed["adapter"], copy["adapter"], params["adapter"])),
        strict=True,
    ):
        assert bool((ours != before).any())
        np.testing.assert_allclose(ours - before, theirs - before, rtol=0.05, atol=1e-5)


@every_pair
def test_first_order_tuning(adapter: Adapter, family: str, load, quick):
    model = adapter.adapt(load(family, num_hidden_layers=1), 0)
    tx = optax.sgd(3e-3)

    @quick
    def step(params):
        value, gradients = jax.value_and_grad(lambda own: loss(model, {**params, "adapter": own}))(
            params["adapter"]
        )
        updates, _ = tx.update(gradients, tx.init(gradients))
        return (
            value,
            gradients,
            {**params, "adapter": optax.apply_updates(params["adapter"], updates)},
        )

    value, gradients, params = step(model.params)
    assert bool(jnp.isfinite(value))
    norm = optax.tree_utils.tree_norm(gradients)
    # A small step goes down, as far as the gradient says, to the rounding of the loss.
    expected = -3e-3 * float(norm) ** 2
    assert float(step(params)[0] - value) == pytest.approx(expected, rel=0.3, abs=3e-7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", slow_except(["float32", "bfloat16"], "bfloat16"))
def test_the_first_logits_are_the_models_to_the_bit(family: str, dtype: str, load):
    base = load(family, dtype, num_hidden_layers=1)
    expected = jax.jit(base.apply)(base.params, IDS, MASK)
    for adapter in (LoRA(), Prefix(length=0)):
        model = adapter.adapt(base, 0)
        actual = jax.jit(model.apply)(model.params, IDS, MASK)
        assert bits(actual) == bits(expected), adapter


@pytest.mark.parametrize("adapter", [Prefix(3), VirtualTokens(3)], ids=["prefix", "virtual tokens"])
@pytest.mark.parametrize("family", slow_except(CAUSAL, "opt"))
def test_a_fresh_one_stands_for_random_tokens_in_front(adapter: Adapter, family: str, load, quick):
    base = load(family)
    key = jax.random.key(3)
    model = adapter.adapt(base, key)
    ids = jnp.concatenate([jnp.tile(random_tokens(base, key, 3)[None], (2, 1)), IDS], axis=1)
    mask = jnp.pad(MASK, ((0, 0), (3, 0)), constant_values=1)
    expected = quick(base.apply)(base.params, ids, mask)[:, 3:]
    actual = quick(model.apply)(model.params, IDS, MASK)
    np.testing.assert_allclose(actual[0], expected[0], atol=1e-4)
    np.testing.assert_allclose(actual[1, :3], expected[1, :3], atol=1e-4)


@pytest.mark.parametrize(
    ("adapter", "family"),
    slow_except(
        {
            **{f"prefix-{family}": (Prefix(3), family) for family in CAUSAL},
            **{f"virtual-{family}": (VirtualTokens(3), family) for family in CAUSAL},
            "lora-opt": (LoRA(), "opt"),
            "head-llama": (HeadTuning(), "llama"),
        },
        *("prefix-opt", "prefix-llama", "virtual-opt", "lora-opt"),
    ),
)
def test_token_by_token_with_the_callers_cache(adapter: Adapter, family: str, load, quick):
    model = adapter.adapt(load(family, num_hidden_layers=1), 0)
    own = jax.tree.map(lambda leaf: leaf + 0.1, model.params["adapter"])  # not the first values
    params = {**model.params, "adapter": own}
    length = IDS.shape[1]

    @quick
    def at_once(params):
        return model.apply(params, IDS[:1], MASK[:1])

    @quick
    def in_turn(params):
        # Two columns first, then one at a time in a loop, with room for more than there are.
        cache = model.init_cache(1, length + 2)
        first, cache = model.hidden(params, IDS[:1, :2], MASK[:1, :2], cache)

        def step(cache, token):
            mask = jnp.ones((1, length + 2), jnp.int32)
            states, cache = model.hidden(params, token[None, None], mask, cache)
            return cache, states[:, 0]

        _, others = jax.lax.scan(step, cache, IDS[0, 2:])
        return model.logits(params, jnp.concatenate([first, others.swapaxes(0, 1)], axis=1))

    np.testing.assert_allclose(in_turn(params), at_once(params), atol=1e-4)

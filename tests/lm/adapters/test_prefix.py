"""Prefix tuning and virtual tokens: what they start from, and what the text keeps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sets import slow_except

from zojax.lm.adapters import Adapter, Prefix, VirtualTokens
from zojax.lm.adapters._modules import random_tokens

IDS = jnp.array([[2, 5, 6, 7, 8], [2, 9, 10, 1, 1]], jnp.int32)
MASK = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], jnp.int32)
FAMILIES = ["opt", "roberta", "llama", "mistral"]


def test_a_masked_models_prefix_is_what_it_computes(load):
    base = load("roberta")
    key = jax.random.key(0)
    own = Prefix(4).adapt(base, key).params["adapter"]["layers"]["self_attn"]
    assert own["prefix_value"].shape == (2, 4, 2, 8)
    # The first layer's keys, by hand.
    weights, norm = base.params, base.params["embed_norm"]
    first = base.config.pad_token_id + 1
    x = weights["embed_tokens"]["embedding"][random_tokens(base, key, 4)]
    x = x + weights["embed_types"]["embedding"][:1]
    x = x + weights["embed_positions"]["embedding"][first : first + 4]
    x = x - x.mean(1, keepdims=True)
    x = x / jnp.sqrt(x.var(1, keepdims=True) + 1e-12)
    x = x * norm["scale"][None] + norm["bias"][None]
    project = weights["layers"]["self_attn"]["k_proj"]
    expected = x @ project["kernel"][0] + project["bias"][:1]
    np.testing.assert_allclose(own["prefix_key"][0].reshape(4, -1), expected, atol=1e-4)


@pytest.mark.flax_classes
@pytest.mark.parametrize("family", slow_except(["opt", "roberta"], "opt"))
def test_a_prefix_of_flax_classes_is_the_same(family: str, load, quick):
    outputs: list[jax.Array] = []
    for implementation in ("zojax", "transformers"):
        model = Prefix(3).adapt(load(family, implementation=implementation), 0)
        own = jax.tree.map(lambda leaf: 0.9 * leaf, model.params["adapter"])
        outputs.append(quick(model.apply)({**model.params, "adapter": own}, IDS, MASK))
    np.testing.assert_allclose(*(x[MASK == 1] for x in outputs), atol=1e-4)


@pytest.mark.parametrize(
    ("adapter", "family"),
    slow_except(
        {
            f"{name}-{family}": (adapter, family)
            for name, adapter in {"prefix": Prefix(3), "virtual tokens": VirtualTokens(3)}.items()
            for family in FAMILIES
        },
        *("prefix-opt", "prefix-llama", "virtual tokens-roberta"),
    ),
)
def test_padding_changes_nothing(adapter: Adapter, family: str, load, quick):
    model = adapter.adapt(load(family), 0)
    padded = quick(model.apply)(model.params, IDS, MASK)[1, :3]
    short = quick(model.apply)(model.params, IDS[1:, :3], MASK[1:, :3])[0]
    np.testing.assert_allclose(padded, short, atol=1e-4)


@pytest.mark.parametrize("init", ["tokens", "random"])
def test_virtual_tokens_start_like_embeddings(init, load):
    base = load("opt")
    own = VirtualTokens(200, init=init).adapt(base, 0).params["adapter"]["embeddings"]
    table = base.params["embed_tokens"]["embedding"]
    distance = jnp.abs(own[:, None] - table[None]).max(-1).min(1)
    assert bool((distance == 0).all() if init == "tokens" else (distance > 0).all())
    # 3200 draws: the error of a standard deviation is 1 / sqrt(2 * 3200) of it.
    assert abs(float(own.std() / table.std()) - 1) < 4.5 / np.sqrt(2 * own.size)


@pytest.mark.parametrize(
    ("adapter", "family", "length"),
    [
        (Prefix(3), "opt", 45),
        (Prefix(3), "roberta", 46),  # 48 positions, of which RoBERTa numbers from padding_idx + 1
        (VirtualTokens(3), "mistral", 45),
        (VirtualTokens(3), "roberta", 43),
    ],
)
def test_the_longest_row_is_as_much_shorter(adapter: Adapter, family: str, length: int, load):
    base = load(family)
    model = adapter.adapt(base, 0)
    assert model.max_length == length
    ids = jnp.full((1, length + 1), 5, jnp.int32)
    jax.eval_shape(model.apply, model.params, ids[:, :-1], ids[:, :-1])
    with pytest.raises(ValueError, match=f"got {base.max_length + 1}"):
        jax.eval_shape(model.apply, model.params, ids, ids)


def test_settings(load):
    with pytest.raises(ValueError, match="Prefix: length must be >= 0, got -1"):
        Prefix(-1)
    with pytest.raises(ValueError, match="VirtualTokens: length must be >= 1, got 0"):
        VirtualTokens(0)
    with pytest.raises(ValueError, match="VirtualTokens: init must be one of"):
        VirtualTokens(init="zeros")
    model = Prefix(2).adapt(load("opt"), 0)
    with pytest.raises(ValueError, match=r"Prefix\.adapt: model must be one without an adapter"):
        Prefix(2).adapt(model, 0)
    with pytest.raises(TypeError, match=r"Prefix\.adapt: key must be a typed key or an int"):
        Prefix(2).adapt(load("opt"), 0.5)

"""LoRA: where it goes, what it adds, how it is merged."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sets import slow_except

import zojax.lm.models
from zojax.lm.adapters import LoRA, merge
from zojax.lm.adapters._adapter import flat

IDS = np.array([[2, 5, 6, 7, 8], [2, 9, 10, 1, 1]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
FAMILIES = ["opt", "roberta", "llama", "mistral"]
QUERY = ("model", "decoder", "layers", "1", "self_attn", "q_proj")


def tuned(model):
    """The model's parameters with an adapter that has moved."""
    leaves, tree = jax.tree.flatten(model.params["adapter"])
    keys = jax.random.split(jax.random.key(5), len(leaves))
    moved = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return {**model.params, "adapter": tree.unflatten(moved)}


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("opt", {"q_proj", "v_proj"}),
        ("roberta", {"query", "value"}),
        ("llama", {"q_proj", "v_proj"}),
        ("mistral", {"q_proj", "v_proj"}),
    ],
)
def test_it_goes_to_query_and_value(family: str, names: set[str], load):
    own = flat(LoRA(rank=3).adapt(load(family), 0).params["adapter"])
    assert {path[-2] for path in own} == names
    assert len(own) == 2 * 2 * 2  # layers, projections, matrices
    assert all(x.dtype == jnp.float32 and 3 in x.shape for x in own.values())


def test_a_is_within_the_bound_and_b_is_0(load):
    own = flat(
        LoRA(rank=8).adapt(load("opt", hidden_size=64, word_embed_proj_dim=64), 0).params["adapter"]
    )
    a = np.concatenate([leaf.ravel() for path, leaf in own.items() if path[-1] == "a"])
    assert np.abs(a).max() <= 1 / 8
    # A uniform variable's mean square is a third of its bound's, give or take 4.5 errors.
    squares = (8 * a) ** 2
    assert abs(squares.mean() - 1 / 3) < 4.5 * squares.std() / np.sqrt(a.size)
    assert all(not leaf.any() for path, leaf in own.items() if path[-1] == "b")


def test_the_values_of_a_projection_do_not_depend_on_the_others(load):
    both = flat(LoRA().adapt(load("opt"), 0).params["adapter"])
    alone = flat(LoRA(targets=("q_proj", "fc1")).adapt(load("opt"), 0).params["adapter"])
    np.testing.assert_array_equal(both[(*QUERY, "a")], alone[(*QUERY, "a")])
    others = [leaf for path, leaf in both.items() if path[-1] == "a" and path[:-1] != QUERY]
    assert not any((leaf == both[(*QUERY, "a")]).all() for leaf in others)


@pytest.mark.parametrize("family", slow_except(FAMILIES, "opt", "llama"))
def test_merged_it_is_a_model_that_transformers_loads(
    family: str, load, quick, flax_classes, tmp_path: Path
):
    adapter = LoRA(rank=2)
    base = load(family)
    model = adapter.adapt(base, 0)
    params = tuned(model)
    before = quick(base.apply)(base.params, IDS, MASK)
    expected = quick(model.apply)(params, IDS, MASK)
    assert float(jnp.abs(expected - before).max()) > 0.1
    base.save(merge(adapter, params), tmp_path)
    again = zojax.lm.models.load(tmp_path)
    logits = quick(again.apply)(again.params, IDS, MASK)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    # transformers reads the same weights, up to its own treatment of a tied head.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs, weights = flax_classes[family].from_pretrained(tmp_path, _do_init=False)
        logits = quick(lambda p: theirs(IDS, MASK, params=p).logits)(weights)
    np.testing.assert_allclose(logits[MASK == 1], expected[MASK == 1], atol=1e-4)


def test_the_merged_weight_is_the_sum(load):
    adapter = LoRA(rank=2, alpha=3.0)
    params = tuned(adapter.adapt(load("opt", "bfloat16"), 0))
    merged = flat(merge(adapter, params))
    weight = flat(params["model"])[(*QUERY, "kernel")].astype(jnp.float32)
    own = flat(params["adapter"])
    total = weight + 1.5 * own[(*QUERY, "a")] @ own[(*QUERY, "b")]
    assert merged[(*QUERY, "kernel")].dtype == jnp.bfloat16
    np.testing.assert_array_equal(merged[(*QUERY, "kernel")], total.astype(jnp.bfloat16))
    # What does not change is shared.
    untouched = ("model", "decoder", "embed_tokens", "embedding")
    assert merged[untouched] is flat(params["model"])[untouched]


def test_targets_that_are_not_there(load):
    with pytest.raises(ValueError, match=r"got \['qproj'\]\. There are fc1, fc2, k_proj, out_proj"):
        LoRA(targets=("q_proj", "qproj")).adapt(load("opt"), 0)
    # The head is no part of the hidden states.
    with pytest.raises(ValueError, match=r"got \['lm_head'\]"):
        LoRA(targets=("lm_head",)).adapt(load("llama"), 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(rank=0), "rank must be >= 1, got 0"),
        (dict(alpha=-1.0), "alpha must be > 0"),
        (dict(targets="q_proj"), r"targets must be .* got 'q_proj'. Write \(\"q_proj\",\)"),
        (dict(targets=()), r"targets must be .* got \(\)"),
    ],
)
def test_settings(settings, message: str):
    with pytest.raises(ValueError, match=message):
        LoRA(**settings)

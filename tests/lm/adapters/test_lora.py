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
QUERY = ("layers", "self_attn", "q_proj")


def tuned(model):
    """The model's parameters with an adapter that has moved."""
    leaves, tree = jax.tree.flatten(model.params["adapter"])
    keys = jax.random.split(jax.random.key(5), len(leaves))
    moved = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return {**model.params, "adapter": tree.unflatten(moved)}


@pytest.mark.parametrize("family", FAMILIES)
def test_it_goes_to_query_and_value(family: str, load):
    own = flat(LoRA(rank=3).adapt(load(family), 0).params["adapter"])
    assert {path[-2] for path in own} == {"q_proj", "v_proj"}
    assert len(own) == 2 * 2  # projections, matrices
    # Stacked as the two layers are.
    assert all(x.dtype == jnp.float32 and x.shape[0] == 2 and 3 in x.shape for x in own.values())


@pytest.mark.flax_classes
@pytest.mark.parametrize(
    ("family", "names"), [("opt", {"q_proj", "v_proj"}), ("roberta", {"query", "value"})]
)
def test_it_goes_to_query_and_value_of_flax_classes(family: str, names: set[str], load):
    base = load(family, implementation="transformers")
    own = flat(LoRA(rank=3).adapt(base, 0).params["adapter"])
    assert {path[-2] for path in own} == names
    assert len(own) == 2 * 2 * 2  # layers, projections, matrices


def test_the_values_of_a_layer_do_not_depend_on_their_number(load):
    two = flat(LoRA().adapt(load("opt"), 0).params["adapter"])
    one = flat(LoRA().adapt(load("opt", num_hidden_layers=1), 0).params["adapter"])
    np.testing.assert_array_equal(two[(*QUERY, "a")][:1], one[(*QUERY, "a")])
    assert (two[(*QUERY, "a")][0] != two[(*QUERY, "a")][1]).all()


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
    alone = flat(LoRA(targets=("q_proj", "up_proj")).adapt(load("opt"), 0).params["adapter"])
    np.testing.assert_array_equal(both[(*QUERY, "a")], alone[(*QUERY, "a")])
    others = [leaf for path, leaf in both.items() if path[-1] == "a" and path[:-1] != QUERY]
    assert not any((leaf == both[(*QUERY, "a")]).all() for leaf in others)


@pytest.mark.parametrize("family", slow_except(FAMILIES, "opt", "llama"))
def test_merged_it_is_a_model_that_transformers_loads(family: str, load, quick, tmp_path: Path):
    torch = pytest.importorskip("torch", reason="needs torch, whose model reads the folder")
    pytest.importorskip("transformers", reason="needs transformers, whose class reads the folder")
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

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
    auto = AutoModelForMaskedLM if family == "roberta" else AutoModelForCausalLM
    with torch.no_grad():
        theirs = auto.from_pretrained(tmp_path)
        logits = theirs(torch.tensor(IDS), attention_mask=torch.tensor(MASK)).logits.numpy()
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
    untouched = ("embed_tokens", "embedding")
    assert merged[untouched] is flat(params["model"])[untouched]


def test_targets_that_are_not_there(load):
    with pytest.raises(ValueError, match=r"got \['qproj'\]\. There are down_proj, k_proj, o_proj"):
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

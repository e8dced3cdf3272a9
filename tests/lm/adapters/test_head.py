"""Head tuning: which parameters are the head, and when they can be merged."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sets import slow_except

import zojax.lm.models
from zojax.lm.adapters import HeadTuning, merge
from zojax.lm.adapters._adapter import flat

IDS = np.array([[2, 5, 6, 7, 8]], np.int32)


@pytest.mark.parametrize(
    ("family", "tied", "paths"),
    [
        ("opt", True, {"embed_tokens/embedding"}),
        ("opt", False, {"lm_head/kernel"}),
        (
            "roberta",
            True,
            {
                "embed_tokens/embedding",
                *(f"lm_head/dense/{name}" for name in ("kernel", "bias")),
                *(f"lm_head/layer_norm/{name}" for name in ("scale", "bias")),
                "lm_head/bias",
            },
        ),
        ("mistral", False, {"lm_head/kernel"}),
    ],
)
def test_the_head_is_what_logits_are_made_of(family: str, tied: bool, paths: set[str], load, quick):
    base = load(family, tie_word_embeddings=tied)
    model = HeadTuning().adapt(base, 0)
    own = flat(model.params["adapter"])
    assert {"/".join(path) for path in own} == paths
    assert all(leaf is not flat(base.params)[path] for path, leaf in own.items())
    # At first the model's logits to the bit, for they are the model's computation.
    first, expected = (jax.jit(m.apply)(m.params, IDS, IDS > 0) for m in (model, base))
    np.testing.assert_array_equal(first.view(jnp.int32), expected.view(jnp.int32))
    # The hidden states stay, whatever the head is.
    zeros = jax.tree.map(jnp.zeros_like, model.params["adapter"])
    params = {**model.params, "adapter": zeros}
    np.testing.assert_array_equal(
        quick(model.hidden)(params, IDS, IDS > 0)[0],
        quick(base.hidden)(base.params, IDS, IDS > 0)[0],
    )
    assert not quick(model.apply)(params, IDS, IDS > 0).any()


@pytest.mark.parametrize("family", slow_except(["opt", "roberta", "llama"], "roberta"))
def test_a_head_of_its_own_is_merged(family: str, load, quick, tmp_path: Path):
    adapter = HeadTuning()
    base = load(family, tie_word_embeddings=False)
    model = adapter.adapt(base, 0)
    own = jax.tree.map(lambda leaf: leaf + 0.1 * leaf**2, model.params["adapter"])
    params = {**model.params, "adapter": own}
    base.save(merge(adapter, params), tmp_path)
    again = zojax.lm.models.load(tmp_path)
    np.testing.assert_array_equal(
        quick(again.apply)(again.params, IDS, IDS > 0), quick(model.apply)(params, IDS, IDS > 0)
    )


@pytest.mark.quick
def test_a_tied_head_is_not_merged(load):
    adapter = HeadTuning()
    model = adapter.adapt(load("opt"), 0)
    with pytest.raises(ValueError, match=r"must not be tied .* embed_tokens"):
        merge(adapter, model.params)

"""Blocks of real models, found from their paths."""

import jax
import jax.numpy as jnp
import pytest

from zojax import planning
from zojax.selection import find_blocks

pytestmark = pytest.mark.quick

FLOAT = jax.ShapeDtypeStruct((4, 4), jnp.float32)


def names(params, blocks="layers"):
    found = find_blocks("test", params, blocks)
    leaves = sorted(leaf for block in found for leaf in block.leaves)
    assert leaves == list(range(len(jax.tree.leaves(params))))
    return [block.name for block in found]


@pytest.mark.parametrize(
    ("model", "stack", "layers"),
    [
        ("opt-1.3b", "model/decoder/layers/", 24),
        ("opt-350m", "model/decoder/layers/", 24),
        ("roberta-base", "roberta/encoder/layer/", 12),
    ],
)
def test_one_block_for_each_layer_and_the_two_ends(model, stack, layers):
    params = planning.workload(model, batch=1, length=8).params
    expected = ["embeddings", *(f"{stack}{i}" for i in range(layers)), "head"]
    assert names(params) == expected


def test_layers_are_in_the_order_of_their_numbers_whatever_the_names():
    layer = {"fc1": FLOAT, "fc2": FLOAT}
    assert names({"wte": FLOAT, "h": {str(i): layer for i in range(12)}, "ln_f": FLOAT}) == [
        "embeddings",
        *(f"h/{i}" for i in range(12)),
        "head",
    ]
    assert names({"Block_1": layer, "Block_0": layer, "Dense_0": FLOAT}) == [
        "Block_0",
        "Block_1",
        "head",
    ]
    assert names([{"embed": FLOAT, "layers": [layer, layer]}]) == [
        "embeddings",
        "0/layers/0",
        "0/layers/1",
    ]
    # One layer alone, whose own parts are numbered too.
    assert names({"embed": FLOAT, "layers": {"0": layer}}) == ["embeddings", "layers/0"]


def test_blocks_by_a_function():
    params = {"a": {"x": FLOAT, "y": FLOAT}, "b": {"x": FLOAT}}
    assert names(params, lambda path, leaf: path.rsplit("/", 1)[1]) == ["x", "y"]
    assert names(params, lambda path, leaf: leaf.ndim) == ["2"]


def test_what_has_no_layers_is_refused():
    with pytest.raises(
        ValueError, match=r"test: no parameter's path has a numbered layer. The fir"
    ):
        find_blocks("test", {"a": FLOAT}, "layers")
    with pytest.raises(ValueError, match="numbered layer"):
        find_blocks("test", [FLOAT], "layers")
    with pytest.raises(TypeError, match='test: blocks must be "layers" or a function, got 3'):
        find_blocks("test", {"a": FLOAT}, 3)

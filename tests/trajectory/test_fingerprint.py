"""A tree's SHA-256."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zojax.trajectory import fingerprint


def test_the_fingerprint_is_of_paths_shapes_dtypes_and_bits():
    x = jnp.arange(6, dtype=jnp.float32)
    trees = [
        {"a": x, "b": x},
        {"a": x, "c": x},
        {"a": x, "b": x.reshape(2, 3)},
        {"a": x, "b": x.view(jnp.int32)},
        {"a": x, "b": -x},
        {"a": -x, "b": x},
        {"a": {"b": x}, "b": x},
        {"a": x, "b": x.astype(jnp.bfloat16)},
    ]
    assert len({fingerprint(tree) for tree in trees}) == len(trees)
    devices = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(x, jax.NamedSharding(devices, jax.P("i")))
    assert fingerprint({"b": spread, "a": np.asarray(x)}) == fingerprint(trees[0])


class Layer(NamedTuple):
    kernel: jax.Array
    bias: jax.Array


def test_the_fingerprint_of_other_nodes_is_that_of_dicts_with_the_same_keys():
    x, y = jnp.ones((2, 3)), jnp.zeros(3)
    assert fingerprint([Layer(x, y)]) == fingerprint({"0": {"bias": y, "kernel": x}})


def test_the_fingerprint_of_a_single_leaf_tells_a_scalar_from_an_array():
    leaves = [jnp.ones(()), jnp.ones(1), jnp.ones((1, 1)), {"": jnp.ones(())}]
    assert len({fingerprint(leaf) for leaf in leaves}) == len(leaves)

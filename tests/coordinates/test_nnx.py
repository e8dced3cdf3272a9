"""Modules of flax.nnx: their states and the pure dicts of these are the same parameters."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax
from zojax.coordinates import slash_paths
from zojax.trajectory import fingerprint

nnx = pytest.importorskip("flax.nnx")


class Custom(nnx.Param):
    """A user's own kind of variable."""


class Model(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])
        self.scale = Custom(jnp.ones(4))
        self.value = nnx.Param(jnp.full(4, 2.0))


def forms():
    state = nnx.state(Model())
    return state, nnx.to_pure_dict(state)


def loss(params):
    return sum(jnp.sum((leaf - 0.1) ** 2) for leaf in jax.tree.leaves(params))


def test_paths_are_those_of_the_pure_dict():
    state, pure = forms()
    assert slash_paths(state) == slash_paths(pure)
    # A parameter that is itself named value keeps its name.
    assert {"layers/0/kernel", "scale", "value"} <= {*slash_paths(state)}


def test_an_attribute_named_value_of_another_node_stays_in_the_path():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Attention:
        value: jax.Array

    assert slash_paths({"attention": Attention(jnp.ones(2))}) == ["attention/value"]


@pytest.mark.parametrize("where", ["layers/0/*", ["*/kernel", "scale"]])
def test_select_moves_the_same_parameters_by_the_same_bits(where):
    tx = zojax.select(zojax.mezo(1e-2, eps=1e-3, key=0), where)
    moved = []
    for params in forms():
        updates, _ = tx.update(None, tx.init(params), params, value_fn=loss)
        moved.append(jax.tree.leaves(optax.apply_updates(params, updates)))
    stayed = []
    for one, other, before in zip(*moved, jax.tree.leaves(forms()[0]), strict=True):
        np.testing.assert_array_equal(one, other)
        stayed.append(np.array_equal(one, before))
    assert any(stayed)
    assert not all(stayed)


def test_the_noise_is_the_same():
    tx = zojax.spsa(1e-3, key=0)
    gradients = [tx.update(None, tx.init(params), params, value_fn=loss)[0] for params in forms()]
    for one, other in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_fingerprint_is_the_same():
    state, pure = forms()
    assert fingerprint(state) == fingerprint(pure)

"""The bits of z do not depend on where it is drawn."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at, gradient
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from optimizers import DIRECTIONS
from sets import slow_except

import zojax
from zojax import sharding

KEY, COUNT = jax.random.key(3), jnp.int32(7)
SHAPES = {"rows": (64, 40), "columns": (40, 64), "both": (128, 64), "stack": (8, 16, 24),
          "vector": (64,), "whole": (24, 40), "scalar": ()}  # fmt: skip
CUTS = {"rows": P("a"), "columns": P(None, "a"), "both": P("b", "a"), "stack": P("a", None, "b"),
        "vector": P("a")}  # fmt: skip


def z_of(direction, params):
    def z(params):
        draws = draws_at(direction, KEY, COUNT, 1, params)
        # Added to zeros that are cut, as it is added to parameters.
        return optax.apply_updates(params, gradient(draws, jnp.ones(1, jnp.float32), params))

    return jax.jit(z)(params)


@pytest.mark.parametrize("direction", slow_except(DIRECTIONS, "gaussian"))
def test_z_has_the_same_bits_for_any_number_of_devices(direction):
    params = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    alone = z_of(direction, params)
    for shape in [(2, 1), (1, 4), (4, 2)]:
        devices = np.array(jax.devices()[: np.prod(shape)]).reshape(shape)
        mesh = Mesh(devices, ("a", "b"))
        layout = sharding.by_pattern(params, mesh, [*CUTS.items()])
        found = z_of(direction, sharding.shard(params, layout))
        for name, leaf in found.items():
            assert leaf.sharding.is_equivalent_to(layout[name], leaf.ndim), (shape, name)
            np.testing.assert_array_equal(leaf, alone[name], err_msg=f"{name} on {shape}")


@pytest.mark.quick
@pytest.mark.parametrize("direction", [zojax.Gaussian(), zojax.LowRank()], ids=["gaussian", "low"])
def test_z_has_the_same_bits_over_explicit_axes(direction):
    params = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    alone = z_of(direction, params)
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        layout = sharding.by_pattern(params, mesh, [*CUTS.items()])
        found = z_of(direction, sharding.shard(params, layout))
    for name, leaf in found.items():
        assert leaf.sharding.is_equivalent_to(layout[name], leaf.ndim), name
        np.testing.assert_array_equal(leaf, alone[name], err_msg=name)

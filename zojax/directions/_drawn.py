"""Noise drawn where a parameter lies."""

import dataclasses
from functools import partial
from typing import Any, TypeVar

import jax
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from zojax._types import Array
from zojax.directions._noise import LeafNoise, Row

Tree = TypeVar("Tree")


def drawn(noise: LeafNoise, parameter: Array) -> Array:
    """Z of a parameter, float32 and of its shape; over several devices each draws its own part."""
    sharding: Any = jax.typeof(parameter).sharding
    axes = _explicit(sharding.mesh)
    if not axes:
        # The partitioner cuts what it is added to, and it from there back.
        return noise.draw(parameter.shape)
    # By its type, what is made from nothing is whole on each device, at every step of its making.
    draw = partial(_draw, shape=parameter.shape)
    draw_there: Any = jax.sharding.auto_axes(draw, axes=axes, out_sharding=sharding)
    return draw_there(noise)


def moved(tree: Tree, parameter: Array) -> Tree:
    """Noise, or what goes with it, on the other side of a border between kinds of a mesh's axes.

    Args:
      tree: Noise and arrays of one side.
      parameter: The parameter on the other side.
    """
    sharding: Any = jax.typeof(parameter).sharding
    axes = _explicit(sharding.mesh)

    def array(x: Any) -> Any:
        if not isinstance(x, jax.Array):
            return x
        if x.shape == parameter.shape:
            return jax.sharding.reshard(x, sharding.spec)
        spec: Any = jax.typeof(x).sharding.spec
        return jax.sharding.reshard(x, PartitionSpec(*(p if p in axes else None for p in spec)))

    return _rows_on(sharding.mesh, jax.tree.map(array, tree))


def _draw(noise: LeafNoise, shape: tuple[int, ...]) -> Array:
    return _rows_on(jax.sharding.get_abstract_mesh(), noise).draw(shape)


def _rows_on(mesh: AbstractMesh, tree: Tree) -> Tree:
    return jax.tree.map(
        lambda x: dataclasses.replace(x, mesh=mesh) if isinstance(x, Row) else x,
        tree,
        is_leaf=lambda x: isinstance(x, Row),
    )


def _explicit(mesh: AbstractMesh) -> tuple[str, ...]:
    if mesh.size <= 1:
        return ()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind == AxisType.Explicit)

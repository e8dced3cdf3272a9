"""The sharding of a plan's model over several devices."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zojax.planning._memory import bytes_of
from zojax.planning._topology import topology
from zojax.sharding import check_axes, over_axes, rows_over, state_layout

Target: TypeAlias = str | topologies.TopologyDescription | Mesh
"""A device's name, a topology of one or several devices, or a mesh of devices."""


def mesh(device: str = "a100-80gb", **axes: int) -> Mesh:
    """Make a mesh of devices that are not attached.

    Args:
      device: One of :data:`zojax.planning.DEVICES`.
      **axes: Sizes of the axes, in the order of the mesh: ``mesh(data=2, model=4)``. Programs of
        this package shard matrices over ``model`` (:func:`zojax.sharding.tensor_parallel`), the
        batch over ``data``, and the batch and all parameters over ``fsdp``
        (:func:`zojax.sharding.fully_sharded`).

    Raises:
      ImportError: The compiler for the device is not installed.
      ValueError: ``device`` is unknown, or a size is < 1.
    """
    for name, size in axes.items():
        if size < 1:
            raise ValueError(f"mesh: the size of axis {name} must be >= 1, got {size}.")
    devices = topology(device, math.prod(axes.values())).devices
    return Mesh(np.array(devices).reshape([*axes.values()]), tuple(axes))


def mesh_of_target(target: Target) -> Mesh | None:
    """The mesh to shard a model over; None for a single device."""
    if isinstance(target, Mesh):
        return target if target.size > 1 else None
    if isinstance(target, str) or len(target.devices) == 1:
        return None
    return Mesh(np.array(target.devices), ("model",))


def place(params: Any, batch: Any, over: Mesh) -> tuple[Any, Any]:
    """Give abstract parameters and an abstract batch their shardings over a mesh.

    Raises:
      ValueError: An axis is not one of :data:`zojax.sharding.AXES`, or does not divide a dimension
        that it shards.
    """
    check_axes("plan", over.axis_names)
    axes = rows_over(over)
    count = math.prod(over.shape[name] for name in axes)
    for leaf in jax.tree.leaves(batch) if axes else ():
        if not leaf.shape or leaf.shape[0] % count:
            raise ValueError(
                f"plan: batch must be a multiple of {count}, the devices that it is sharded over "
                f"({' × '.join(axes)}), got an array of shape {leaf.shape}."
            )
    rows = NamedSharding(over, PartitionSpec(axes) if axes else PartitionSpec())
    placed = jax.tree.map(lambda leaf: _placed(leaf, rows), batch)
    return jax.tree.map(_placed, params, over_axes(params, over)), placed


def place_state(state: Any, params: Any) -> Any:
    """Give an optimizer's abstract state the shardings that follow from the parameters'."""
    layout = jax.tree.map(lambda leaf: leaf.sharding, params)
    return jax.tree.map(_placed, state, state_layout(state, params, layout))


def bytes_on_each(tree: Any) -> int:
    """Return the bytes that each device stores of a tree of abstract arrays."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        shape = leaf.sharding.shard_shape(leaf.shape) if leaf.sharding else leaf.shape
        total += bytes_of(leaf, shape)
    return total


def _placed(leaf: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

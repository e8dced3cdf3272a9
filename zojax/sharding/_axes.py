"""Meshes whose axes have names that say what is sharded over them, as the commands take them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zojax.sharding._layouts import Layout, fully_sharded, tensor_parallel

AXES = ("data", "fsdp", "model")
"""Axes of a mesh. Sharded over them are: the batch; the batch and all parameters; matrices."""

LayoutName: TypeAlias = Literal["tensor-parallel", "fully-sharded"]
"""Whether ``data`` shards the batch alone, or all parameters too, as ``fsdp`` does."""


def read_mesh(where: str, text: str, layout: LayoutName | None = None) -> dict[str, int]:
    """Parse the axes of a mesh and their sizes, such as ``data=2,model=4``.

    Args:
      where: Name of the caller, for messages.
      text: Axes of :data:`AXES`, in the order of the mesh.
      layout: ``"fully-sharded"`` renames ``data`` to ``fsdp``; ``"tensor-parallel"`` makes sure
        that ``model`` is there and ``fsdp`` is not; None takes the axes as they are named.

    Raises:
      ValueError: An axis is unknown or named twice, its size is no number >= 1, or ``layout`` is
        unknown or does not fit the axes.

    Examples:
      >>> read_mesh("plan", "data=2,model=4")
      {'data': 2, 'model': 4}
      >>> read_mesh("plan", "data=2,model=4", "fully-sharded")
      {'fsdp': 2, 'model': 4}
    """
    axes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.partition("=")
        if name in axes or not size.isdecimal():
            raise ValueError(
                f"{where}: mesh must name each axis once, with its size, as in data=2,model=4, got "
                f"{text!r}."
            )
        if int(size) < 1:
            raise ValueError(f"{where}: the size of axis {name} must be >= 1, got {size}.")
        axes[name] = int(size)
    check_axes(where, tuple(axes))
    if layout is None:
        return axes
    if layout not in get_args(LayoutName):
        raise ValueError(
            f"{where}: layout must be one of {', '.join(get_args(LayoutName))}, got {layout!r}."
        )
    needed = "model" if layout == "tensor-parallel" else "data"
    if needed not in axes or "fsdp" in axes:
        raise ValueError(
            f"{where}: layout {layout} must be for a mesh with the axis {needed} and without fsdp, "
            f"got {text}. Name the axes so, or leave layout out: data shards the batch, fsdp the "
            "batch and all parameters, model matrices."
        )
    renamed = {"data": "fsdp"} if layout == "fully-sharded" else {}
    return {renamed.get(name, name): size for name, size in axes.items()}


def check_axes(where: str, names: Sequence[str]) -> None:
    """Refuse a mesh whose axes do not say what is sharded over them.

    Raises:
      ValueError: An axis is not one of :data:`AXES`.
    """
    for name in names:
        if name not in AXES:
            raise ValueError(f"{where}: mesh must have axes of {', '.join(AXES)}, got {name!r}.")


def make_mesh(where: str, axes: Mapping[str, int]) -> Mesh:
    """Make a mesh of this process's devices: the first ones, if the mesh needs fewer.

    Raises:
      ValueError: There are fewer devices.
    """
    count, devices = math.prod(axes.values()), jax.devices()
    if count > len(devices):
        sizes = ",".join(f"{name}={size}" for name, size in axes.items())
        fix = f"; XLA_FLAGS=--xla_force_host_platform_device_count={count} divides a CPU"
        raise ValueError(
            f"{where}: mesh must have at most as many devices as there are, {len(devices)} of "
            f"{devices[0].platform}, got {sizes}, which are {count}. Take smaller axes"
            f"{fix if devices[0].platform == 'cpu' else ''}."
        )
    grid = np.array(devices[:count]).reshape([*axes.values()])
    return Mesh(grid, tuple(axes), axis_types=(AxisType.Auto,) * len(axes))


def rows_over(mesh: Mesh) -> tuple[str, ...]:
    """The axes of a mesh that the rows of a batch are sharded over."""
    return tuple(name for name in ("data", "fsdp") if name in mesh.axis_names)


def over_axes(params: Any, mesh: Mesh) -> Layout:
    """Shard parameters over the axes of a mesh, by the axes' names.

    Args:
      params: Parameters, or their shapes, as :func:`tensor_parallel` takes them.
      mesh: A mesh with axes of :data:`AXES`. Matrices are sharded over ``model``, all large
        parameters, further, over ``fsdp``, and none over ``data``.

    Returns:
      A NamedSharding for each leaf.

    Raises:
      ValueError: An axis is unknown, or as for :func:`tensor_parallel` and :func:`fully_sharded`.

    Examples:
      >>> import jax
      >>> mesh = jax.make_mesh((1, 1), ("data", "model"))
      >>> params = {"fc1": {"kernel": jax.ShapeDtypeStruct((256, 1024), "float32")}}
      >>> over_axes({"layer": params}, mesh)["layer"]["fc1"]["kernel"].spec
      P(None, 'model')
    """
    check_axes("over_axes", mesh.axis_names)
    replicated = NamedSharding(mesh, PartitionSpec())
    found = jax.tree.map(lambda _: replicated, params)
    if "model" in mesh.axis_names:
        found = tensor_parallel(params, mesh)
    if "fsdp" in mesh.axis_names:
        found = fully_sharded(params, mesh, "fsdp", given=found)
    return found

"""Compile a jitted function for devices that are not attached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import (
    AbstractMesh,
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)

from zojax.planning._topology import topology

# Autotuning times candidate kernels on the card, which is not there.
_COMPILER_OPTIONS: dict[str, dict[str, str | bool]] = {"cuda": {"xla_gpu_autotune_level": "0"}}


def compile_for(
    target: str | topologies.TopologyDescription | Mesh, step: Any, *args: Any
) -> jax.stages.Compiled:
    """Compile ``step`` for a device that is not there.

    Nothing is allocated or run: arguments may be ``jax.eval_shape`` results, so the program of a
    model that fits no local memory can be compiled.

    Args:
      target: A device's name, one of :data:`zojax.planning.DEVICES`; a :func:`topology`, or a
        :func:`mesh` of one.
      step: A function wrapped by ``jax.jit``, with its ``donate_argnums``. Close over what is
        static.
      *args: Its arguments: pytrees of arrays, numbers, or ``jax.ShapeDtypeStruct``. A
        ``ShapeDtypeStruct`` keeps its sharding if it has one; every other leaf is put on the
        device, or on all devices of a larger topology.

    Returns:
      The program, for :func:`memory`, ``cost_analysis()`` or ``as_text()``. It cannot be called.

    Raises:
      ImportError: The compiler for the device is not installed.
      TypeError: ``step`` is not wrapped by ``jax.jit``.
      ValueError: ``target`` is unknown.
    """
    if not isinstance(step, jax.stages.Wrapped):
        raise TypeError(f"compile_for: step must be wrapped by jax.jit, got {step!r}.")
    if isinstance(target, str):
        target = topology(target)
    devices = [*target.devices.flat] if isinstance(target, Mesh) else target.devices
    everywhere = _everywhere(devices)
    placed = jax.tree.map(lambda leaf: _placed(leaf, everywhere), args)
    options = _COMPILER_OPTIONS.get(devices[0].platform, {})
    # Shapes do not tell a trace which mesh they are on, as arrays do.
    with jax.sharding.use_abstract_mesh(_mesh(placed)):
        lowered = step.lower(*placed)
    return lowered.compile(compiler_options=options)


def _mesh(args: Any) -> AbstractMesh:
    """The mesh that the arguments are on, unless the caller has set one already."""
    around = jax.sharding.get_abstract_mesh()
    meshes = [
        leaf.sharding.mesh.abstract_mesh
        for leaf in jax.tree.leaves(args)
        if isinstance(leaf.sharding, NamedSharding)
    ]
    return meshes[0] if around.empty and meshes else around


def _everywhere(devices: Sequence[Any]) -> Sharding:
    if len(devices) == 1:
        return SingleDeviceSharding(devices[0])
    return NamedSharding(Mesh(np.array(devices), ("device",)), PartitionSpec())


def _placed(leaf: Any, sharding: Sharding) -> jax.ShapeDtypeStruct:
    if isinstance(leaf, jax.ShapeDtypeStruct) and leaf.sharding is not None:
        return leaf
    # A Python number stays weakly typed, as it would be in a call.
    aval = leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jax.typeof(leaf)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=sharding, weak_type=aval.weak_type)

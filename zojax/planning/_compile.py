"""Compiles a jitted function for devices that are not attached."""

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
from zojax.streaming import options_for

# Autotuning is off, because it runs candidate kernels on the device, which is not attached.
_NOT_ATTACHED = {"gpu": {"xla_gpu_autotune_level": "0"}}


def compile_for(
    target: str | topologies.TopologyDescription | Mesh, step: Any, *args: Any
) -> jax.stages.Compiled:
    """Compile ``step`` for a device that is not attached.

    It has the options that ``zojax.compiler_options()`` gives on that device. Nothing is allocated
    or run. The arguments may be results of ``jax.eval_shape``, so programs of
    models that exceed the local memory can be compiled.

    Args:
      target: A device's name, one of :data:`zojax.planning.DEVICES`; a :func:`topology`; or a
        :func:`mesh`.
      step: A function wrapped by ``jax.jit``, with its ``donate_argnums``. It must close over its
        static arguments.
      *args: Its arguments: pytrees of arrays, numbers, or ``jax.ShapeDtypeStruct``. A
        ``ShapeDtypeStruct`` with a sharding keeps it; every other leaf is put on the device, or
        replicated on all devices of a larger topology.

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
    replicated = _replicated(devices)
    placed = jax.tree.map(lambda leaf: _placed(leaf, replicated), args)
    platform = devices[0].platform
    options: dict[str, str | bool] = {**options_for(devices[0]), **_NOT_ATTACHED.get(platform, {})}
    # A trace finds the mesh of arrays, but not that of abstract arguments, so it is set here.
    with jax.sharding.use_abstract_mesh(_mesh(placed)):
        lowered = step.lower(*placed)
    return lowered.compile(compiler_options=options)


def _mesh(args: Any) -> AbstractMesh:
    """The mesh that the caller has set or, if none is set, the mesh of the arguments' shardings."""
    current = jax.sharding.get_abstract_mesh()
    meshes = [
        leaf.sharding.mesh.abstract_mesh
        for leaf in jax.tree.leaves(args)
        if isinstance(leaf.sharding, NamedSharding)
    ]
    return meshes[0] if current.empty and meshes else current


def _replicated(devices: Sequence[Any]) -> Sharding:
    if len(devices) == 1:
        return SingleDeviceSharding(devices[0])
    return NamedSharding(Mesh(np.array(devices), ("device",)), PartitionSpec())


def _placed(leaf: Any, sharding: Sharding) -> jax.ShapeDtypeStruct:
    if isinstance(leaf, jax.ShapeDtypeStruct) and leaf.sharding is not None:
        return leaf
    # A Python number stays weakly typed, as in a call of the function.
    aval = leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jax.typeof(leaf)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=sharding, weak_type=aval.weak_type)

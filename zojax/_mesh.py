"""Parameters over several devices: what of a step is sharded as they are, what is replicated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.core import Tracer
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from zojax._quantized import anchor
from zojax._types import Array
from zojax._xla import opaque, tied


def mesh_of(tree: Any) -> AbstractMesh | None:
    """The mesh of several devices that the arrays of a tree are on; None for a single device.

    Inside ``jit`` it is known where the arguments were arrays on a mesh, and under
    ``jax.set_mesh``. Inside ``jax.shard_map`` a device sees its own arrays alone, so that axes
    which are manual there do not count.
    """
    for leaf in jax.tree.leaves(tree):
        mesh = jax.typeof(anchor(leaf)).sharding.mesh
        if _is_spread(mesh):
            return mesh
    mesh = jax.sharding.get_abstract_mesh()
    return mesh if _is_spread(mesh) else None


def _is_spread(mesh: AbstractMesh) -> bool:
    axes = zip(mesh.axis_sizes, mesh.axis_types, strict=True)
    return any(size > 1 and kind != AxisType.Manual for size, kind in axes)


def explicit_axes(mesh: AbstractMesh) -> tuple[str, ...]:
    """The axes over which arrays are sharded by their types; none on a single device."""
    if mesh.size <= 1:
        return ()
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind == AxisType.Explicit)


def replicated(x: Array, mesh: AbstractMesh | None) -> Array:
    """The same array, all of it on each device.

    The partitioner would shard a small table as it shards the parameters that read it, and gather
    it again for those that read all of it.
    """
    if mesh is None or AxisType.Auto not in mesh.axis_types or not isinstance(x, Tracer):
        return x
    return lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec()))


def alike(x: Any, parameter: Any) -> Any:
    """The same array, sharded as a parameter of its shape is.

    The partitioner shards the result of a select as its operands, so this one selects between the
    array and the parameter, on a condition that is false and that the compiler does not know.
    (JAX's ``shard_alike`` would shard all parameters of one shape alike: equal operations are
    lowered once, and equal zeros are merged.)
    """
    never = opaque(jnp.zeros((), bool))
    return lax.select(never, parameter.astype(x.dtype), x)


def owners(state: Any, params: Any) -> list[int | None]:
    """For each leaf of an optimizer's state, the place of the parameter that it belongs to.

    It belongs to one where its path ends in that parameter's path, and its shape is the same.
    """
    places = {
        (path, jnp.shape(leaf)): place
        for place, (path, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(params))
    }

    def owner(path: Any, shape: tuple[int, ...]) -> int | None:
        # The longest ending first, so that of two parameters the right one is found.
        found = (places.get((path[start:], shape)) for start in range(len(path) + 1))
        return next((place for place in found if place is not None), None)

    return [
        owner(path, jnp.shape(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    ]


def laid_out(
    tx: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """The same optimizer, whose state lies where the parameters lie: ``init`` may be compiled.

    Moments start as zeros, which do not depend on the parameters: ``jit(tx.init)`` would put them
    all on the first device. Scalars are on every device from the start, as they are after a step,
    so that the second step is the same program as the first.
    """

    def init(params: Any) -> Any:
        state = tx.init(params)
        parameters = jax.tree.leaves(params)
        if mesh_of(parameters) is None:
            return state
        leaves, tree = jax.tree.flatten(state)
        belongs = owners(state, params)
        if any(isinstance(leaf, Tracer) for leaf in parameters):
            placed = [
                leaf if owner is None else alike(leaf, parameters[owner])
                for leaf, owner in zip(leaves, belongs, strict=True)
            ]
            # Arguments that nothing reads do not count as places to be.
            smallest = min(parameters, key=jnp.size)
            placed, _ = tied(placed, smallest)
        else:
            placed = [
                leaf if owner is not None else _everywhere(leaf, parameters)
                for leaf, owner in zip(leaves, belongs, strict=True)
            ]
        return jax.tree.unflatten(tree, placed)

    return optax.GradientTransformationExtraArgs(init, tx.update)


def _everywhere(x: Array, parameters: list[Any]) -> Array:
    """``x`` whole on each device that the parameters are on."""
    for parameter in parameters:
        sharding = getattr(parameter, "sharding", None)  # a numpy array and a number have none
        if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1:
            return jax.device_put(x, NamedSharding(sharding.mesh, PartitionSpec()))
    return x

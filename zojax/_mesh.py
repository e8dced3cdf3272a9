"""Parameters over several devices: what of a step is cut as they are, and what stays whole."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import optax
from jax import lax
from jax.experimental.shard_alike import shard_alike
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def mesh_of(tree: Any) -> AbstractMesh | None:
    """The mesh of several devices that the arrays of a tree are on; None for a single device.

    Inside ``jit`` it is known where the arguments were arrays on a mesh, and under
    ``jax.set_mesh``.
    """
    for leaf in jax.tree.leaves(tree):
        mesh = jax.typeof(leaf).sharding.mesh
        if mesh.size > 1:
            return mesh
    mesh = jax.sharding.get_abstract_mesh()
    return mesh if mesh.size > 1 else None


def whole(tree: Tree, mesh: AbstractMesh | None) -> Tree:
    """The same tree, every traced array of it whole on each device.

    The partitioner would cut a small table that sharded parameters read as it cuts them, and
    gather it again for those that read all of it.
    """
    if mesh is None or AxisType.Auto not in mesh.axis_types:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec())
    # Many leaves share one table: one constraint for all.
    seen: dict[int, Any] = {}

    def constrained(x: Any) -> Any:
        if not isinstance(x, jax.core.Tracer):
            return x
        if id(x) not in seen:
            seen[id(x)] = lax.with_sharding_constraint(x, sharding)
        return seen[id(x)]

    return jax.tree.map(constrained, tree)


def alike(x: Any, parameter: Any) -> Any:
    """``x``, of the parameter's shape, cut as the parameter is, where that is on several devices.

    Explicit axes are in an array's type, so there ``x`` must have them already.
    """
    if not isinstance(x, jax.core.Tracer) or mesh_of([parameter]) is None:
        return x
    return shard_alike(parameter, x)[1]


def owners(state: Any, params: Any) -> list[int | None]:
    """For each leaf of an optimizer's state, the place of the parameter that it belongs to.

    It belongs to one where its path ends in that parameter's path, and its shape is the same.
    """
    places = {
        (path, jax.numpy.shape(leaf)): place
        for place, (path, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(params))
    }

    def owner(path: Any, shape: tuple[int, ...]) -> int | None:
        # The longest ending first, so that of two parameters the right one is found.
        found = (places.get((path[start:], shape)) for start in range(len(path) + 1))
        return next((place for place in found if place is not None), None)

    return [
        owner(path, jax.numpy.shape(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    ]


def laid_out(
    tx: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """The same optimizer, whose state is cut as the parameters are when ``init`` is compiled.

    Moments start as zeros, which do not depend on the parameters: ``jit(tx.init)`` would put them
    all on the first device.
    """

    def init(params: Any) -> Any:
        state = tx.init(params)
        parameters = jax.tree.leaves(params)
        leaves, tree = jax.tree.flatten(state)
        placed = [
            leaf if owner is None else alike(leaf, parameters[owner])
            for leaf, owner in zip(leaves, owners(state, params), strict=True)
        ]
        return jax.tree.unflatten(tree, placed)

    return optax.GradientTransformationExtraArgs(init, tx.update)

"""Parameters and optimizer state, put where a layout says."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from zojax._mesh import owners
from zojax.sharding._layouts import Layout


def shard(params: Any, layout: Layout) -> Any:
    """Put parameters on the devices of a layout, each device its part alone.

    Args:
      params: Arrays of JAX or NumPy. From NumPy no device ever holds a whole leaf.
      layout: A tree of shardings like ``params``; what :func:`tensor_parallel` and its like give.

    Returns:
      The same values as JAX arrays, so laid out. They share memory with JAX arrays of ``params``
      where they can: a step that donates them takes those along.

    Raises:
      ValueError: ``layout`` has another structure than ``params``.
    """
    if jax.tree.structure(params) != jax.tree.structure(layout):
        raise ValueError(
            f"shard: layout must have the structure of params, {jax.tree.structure(params)}, got "
            f"{jax.tree.structure(layout)}. Make it from these params."
        )
    return jax.device_put(params, layout)


def state_layout(state: Any, params: Any, layout: Layout) -> Layout:
    """The layout of an optimizer's state: moments as their parameters, scalars on every device.

    ``jax.jit(tx.init)`` lays the state of zojax's named optimizers out by itself. For chains of
    one's own: ``jax.jit(tx.init, out_shardings=state_layout(...))(params)``.

    Args:
      state: The state, or its shapes: ``jax.eval_shape(tx.init, params)``.
      params: The parameters, or their shapes.
      layout: The parameters' layout.

    Returns:
      A sharding for each leaf of ``state``. A leaf is laid out as a parameter where its path ends
      in that parameter's path and its shape is the same.
    """
    shardings: list[NamedSharding] = jax.tree.leaves(layout)
    whole = NamedSharding(shardings[0].mesh, PartitionSpec())
    leaves, tree = jax.tree.flatten(state)
    found = [
        whole if owner is None else shardings[owner]
        for _, owner in zip(leaves, owners(state, params), strict=True)
    ]
    return jax.tree.unflatten(tree, found)


def bytes_on_each(tree: Any, layout: Layout) -> int:
    """Bytes that one device holds of a tree of arrays, or of their shapes.

    Examples:
      >>> import jax
      >>> from zojax.sharding import bytes_on_each, fully_sharded
      >>> mesh = jax.make_mesh((1,), ("model",))
      >>> params = {"fc1": {"kernel": jax.ShapeDtypeStruct((16, 64), "float32")}}
      >>> bytes_on_each(params, fully_sharded(params, mesh, "model"))
      4096
    """
    return sum(
        math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf, sharding in zip(jax.tree.leaves(tree), jax.tree.leaves(layout), strict=True)
    )

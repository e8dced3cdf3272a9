"""Puts parameters and optimizer state on the devices of a layout."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from zojax._mesh import owners
from zojax.sharding._layouts import Layout


def shard(params: Any, layout: Layout) -> Any:
    """Put parameters on the devices of a layout; each device gets only its own shards.

    Args:
      params: JAX or NumPy arrays. If they are NumPy arrays, no device ever holds an unsharded leaf.
      layout: A tree of shardings with the structure of ``params``, such as :func:`tensor_parallel`
        returns.

    Returns:
      The same values as JAX arrays with these shardings. They may share buffers with the JAX arrays
      of ``params``, so a step that donates them may invalidate ``params`` too.

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
    """Make the layout of an optimizer's state: moments like their parameters, scalars replicated.

    ``jax.jit(tx.init)`` shards the state of zojax's named optimizers in this way. Other chains need
    ``jax.jit(tx.init, out_shardings=state_layout(...))(params)``.

    Args:
      state: The state, or its shapes: ``jax.eval_shape(tx.init, params)``.
      params: The parameters, or their shapes.
      layout: The parameters' layout.

    Returns:
      A sharding for each leaf of ``state``. A leaf is sharded like a parameter if its path ends in
      that parameter's path and it has the same shape; other leaves are replicated.
    """
    shardings: list[NamedSharding] = jax.tree.leaves(layout)
    replicated = NamedSharding(shardings[0].mesh, PartitionSpec())
    leaves, tree = jax.tree.flatten(state)
    found = [
        replicated if owner is None else shardings[owner]
        for _, owner in zip(leaves, owners(state, params), strict=True)
    ]
    return jax.tree.unflatten(tree, found)


def bytes_on_each(tree: Any, layout: Layout) -> int:
    """Return the bytes that each device stores of a tree of arrays, or of their shapes.

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

"""Arrays of the host on a mesh, whichever processes its devices belong to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a copy of ``tree`` on every device of ``mesh``.

    Args:
      tree: Arrays and keys, of the host or of one device, or replicated ones; the same in every
        process.
      mesh: The devices, of this process or of several.

    Returns:
      The tree of global arrays. Nothing is sent between processes.
    """
    return _put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_batch(batch: Any, mesh: Mesh, axis: str = "data") -> Any:
    """Cut a batch along its first axis over an axis of ``mesh``.

    Each device gets its rows, and no others; nothing is sent between processes.

    Args:
      batch: A tree of arrays [rows, …] in host memory, the whole batch in every process. With
        ``jax.ShapeDtypeStruct`` for arrays, their shardings alone are made.
      mesh: The devices, of this process or of several.
      axis: One of the mesh's axes, whose D devices divide every array's rows.

    Returns:
      The tree of global arrays, sharded.

    Raises:
      ValueError: D does not divide the rows of an array: see :func:`pad_batch`.
    """
    devices = mesh.shape[axis]
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        if leaf.shape[0] % devices:
            raise ValueError(
                f"shard_batch: the {devices} devices along {axis!r} must divide the rows of each "
                f"array, got {leaf.shape[0]} in {jax.tree_util.keystr(path) or 'the batch'}. "
                "Fill the batch up with rows that weigh 0 (pad_batch does)."
            )
    return _put(batch, NamedSharding(mesh, PartitionSpec(axis)))


def pad_batch(batch: Any, multiple: int) -> Any:
    """Fill a batch of :mod:`zojax.lm.tasks` up with examples that weigh 0.

    Its losses stay the mean over its own examples: what is added are copies, whose ``weights``
    are 0.

    Args:
      batch: A :class:`zojax.lm.tasks.Batch` of B examples, or its shapes and dtypes.
      multiple: The examples become a multiple of it.
    """
    size = batch.weights.shape[0]
    extra = -size % multiple

    def filled(leaf: Any) -> Any:
        count = leaf.shape[0] // size * (size + extra)
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)
        return leaf[np.arange(count) % leaf.shape[0]]

    padded = jax.tree.map(filled, batch)
    if not isinstance(padded.weights, jax.ShapeDtypeStruct):
        padded.weights[size:] = 0
    return padded


def _put(tree: Any, sharding: NamedSharding) -> Any:
    def put(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        # device_put would compare the values between processes, which is communication.
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(put, tree)

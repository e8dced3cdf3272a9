"""Puts arrays of the host on a mesh, whose devices may belong to several processes."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Put a copy of ``tree`` on every device of ``mesh``.

    Args:
      tree: Arrays and keys, on the host, on one device or replicated, and with the same values in
        every process.
      mesh: The devices, of this process or of several.

    Returns:
      The tree of global arrays.

    Cost: nothing is sent between processes.
    """
    return _put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_batch(batch: Any, mesh: Mesh, axis: str | tuple[str, ...] = "data") -> Any:
    """Shard a batch by its rows over an axis of ``mesh``.

    Each device gets only its own rows; nothing is sent between processes.

    Args:
      batch: A tree of arrays [rows, …] in host memory; every process has the full batch. For
        ``jax.ShapeDtypeStruct`` leaves, only their sharding is set.
      mesh: The devices, of this process or of several.
      axis: An axis of the mesh, or a tuple of axes, which are used as one. Its number of devices D
        divides the rows of every array.

    Returns:
      The tree of global arrays, sharded.

    Raises:
      ValueError: D does not divide the rows of an array: see :func:`pad_batch`.
    """
    axes = (axis,) if isinstance(axis, str) else axis
    devices = math.prod(mesh.shape[name] for name in axes)
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        if leaf.shape[0] % devices:
            raise ValueError(
                f"shard_batch: the {devices} devices along {axis!r} must divide the rows of each "
                f"array, got {leaf.shape[0]} in {jax.tree_util.keystr(path) or 'the batch'}. "
                "Pad the batch with rows of weight 0 (pad_batch does)."
            )
    return _put(batch, NamedSharding(mesh, PartitionSpec(axis)))


def pad_batch(batch: Any, multiple: int) -> Any:
    """Pad a batch of :mod:`zojax.lm.tasks` with examples of weight 0.

    The padding examples are copies whose ``weights`` are 0, so the batch's loss remains the mean
    over its own examples.

    Args:
      batch: A :class:`zojax.lm.tasks.Batch` of B examples, or its shapes and dtypes.
      multiple: The number of examples is rounded up to a multiple of this.
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

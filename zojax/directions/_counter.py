"""Keys and counter-based bits: any element of a leaf's noise from its path and index.

Two random words for each query and leaf follow from (key, step, query, path): the noise of a leaf
never depends on its neighbours. A leaf is seen as a matrix of rows: the last axis, or the last few
if that is short, are the columns. Each row has a random 32-bit key, made of the leaf's words, and
an element's bits are a hash of its row's key plus its column. That is a short chain of integer
operations on each element, so XLA fuses it into whatever consumes the noise and partitions it with
the parameter; and a row, a block or one layer of z is drawn at the cost of its own elements. The
row keys are small beside the leaf, so they are computed once and kept during a forward pass.
"""

import hashlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zojax._types import Array

LEAST_COLUMNS = 64


def path_hashes(paths: list[str]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Hashes each path to 64 bits, uint32 [n, 2].

    64 bits rather than 32: resolving a collision would make one leaf's noise depend on another
    leaf's presence, and at 64 bits a tree of a million leaves has one in 4e7 chances.

    Raises:
      ValueError: two paths share a hash, so their leaves would share their noise.
    """
    hashes = [hashlib.blake2s(path.encode(), digest_size=8).digest() for path in paths]
    seen: dict[bytes, str] = {}
    for path, digest in zip(paths, hashes, strict=True):
        if digest in seen:
            raise ValueError(
                f"leaf_keys: parameters {seen[digest]!r} and {path!r} share one path hash and "
                f"would get the same noise; rename one of them."
            )
        seen[digest] = path
    return np.frombuffer(b"".join(hashes), np.uint32).reshape(-1, 2)


def key_paths(tree: Any) -> list[tuple[Any, ...]]:
    """The keys of every leaf, in tree order, alike for an ``nnx.State`` and its pure dict.

    A variable of flax.nnx is a node with one child, its value, which is no part of the name.
    """
    paths: list[tuple[Any, ...]] = []
    for path, node in jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_variable):
        if _is_variable(node):
            inner = jax.tree_util.tree_leaves_with_path(node)
            paths += [(*path, *below[1:]) for below, _ in inner]
        else:
            paths.append(path)
    return paths


def _is_variable(node: Any) -> bool:
    # By name, for flax may not be installed. Users subclass nnx.Variable.
    return any(
        kind.__name__ in ("Variable", "VariableState") and kind.__module__.startswith("flax.nnx.")
        for kind in type(node).__mro__
    )


def leaf_paths(tree: Any) -> list[str]:
    """The path of every leaf, in tree order, as ``jax.tree_util.keystr`` writes it."""
    return list(map(jax.tree_util.keystr, key_paths(tree)))


def key_words(key: Array) -> Array:
    """Two words of a typed key [], uint32 [2]: all of a threefry key, the ends of a wider one."""
    words = jax.random.key_data(key)
    return words if words.size == 2 else words[jnp.array([0, -1])]


def leaf_words(key: Array, count: Array, num_queries: int, tree: Any, *, first: int = 0) -> Array:
    """Two random words for every query and leaf, from (key, step, query, path) alone.

    All are drawn in one vectorised call: a ``fold_in`` per leaf costs minutes of compilation on
    a large model.

    Args:
      key: Typed key [].
      count: int32 []: the step.
      num_queries: Number of independent directions, q.
      tree: Parameters; only its paths are read.
      first: The number of the first query.

    Returns:
      uint32 [q, n, 2] for n leaves.
    """
    queries = np.arange(first, first + num_queries, dtype=np.uint32)
    return _words(key, count, jnp.asarray(path_hashes(leaf_paths(tree))), queries)


@jax.jit
def _words(key: Array, count: Array, hashes: Array, queries: Array) -> Array:
    def folded(key: Array, data: Array) -> tuple[Array, None]:
        return jax.random.fold_in(key, data), None

    def words(query: Array, path_hash: Array) -> Array:
        # A loop, for each fold_in is a few hundred operations of the program.
        data = jnp.stack([count.astype(jnp.uint32), query, *path_hash])
        leaf_key, _ = lax.scan(folded, key, data)
        return key_words(leaf_key)

    over_leaves = jax.vmap(words, in_axes=(None, 0))
    return jax.vmap(over_leaves, in_axes=(0, None))(queries, hashes)


def _mix(x: Array) -> Array:
    # Two multiply-xorshift rounds with C. Wellons' constants (lowbias32): nearly every
    # input bit flips every output bit with probability 1/2.
    x = lax.mul(_xorshift(x, 16), np.uint32(0x21F0AAAD))
    x = lax.mul(_xorshift(x, 15), np.uint32(0x735A2D97))
    return _xorshift(x, 15)


def _xorshift(x: Array, bits: int) -> Array:
    return lax.bitwise_xor(x, lax.shift_right_logical(x, np.uint32(bits)))


def leading_axes(shape: tuple[int, ...]) -> int:
    """How many leading axes of a leaf number its rows; the others are its columns."""
    axis = len(shape)
    while axis and math.prod(shape[axis:]) < LEAST_COLUMNS:
        axis -= 1
    return axis


def row_key(words: Array, row: Array) -> Array:
    """The key of one row of a leaf.

    The two words enter on either side of a full mixing round. With one round, two leaves whose
    first words lie closer than their numbers of rows would share keys.

    Args:
      words: uint32 [..., 2].
      row: uint32 [...].

    Returns:
      uint32 [...].
    """
    return _mix(_mix(row + words[..., 0]) + words[..., 1])


def row_keys(words: Array, rows: int) -> Array:
    """The keys of a leaf's rows.

    Args:
      words: uint32 [2].
      rows: Number of rows, below 2**32.

    Returns:
      uint32 [rows].
    """
    return row_key(words, jnp.arange(rows, dtype=jnp.uint32))


def bits(keys: Array, columns: tuple[int, ...], part: tuple[int, ...] | None = None) -> Array:
    """Random bits for every column of some rows.

    Two rows are alike where their keys are nearer than their columns are many, for which a pair
    of rows has a chance of about columns / 2**31, at another place each time.

    Args:
      keys: uint32 [...]: the rows' keys. A key plus n is a row that begins at column n.
      columns: The columns' axes of the leaf.
      part: How many of the first positions along each axis; ``columns`` if None.

    Returns:
      uint32 [*keys.shape, *part].
    """
    part = columns if part is None else part
    rows = keys.reshape(keys.shape + (1,) * len(part))
    return _mix(rows + _index(columns, (1,) * keys.ndim + part))


def _index(shape: tuple[int, ...], part: tuple[int, ...]) -> Array:
    """Linear index within an array of ``shape``, for its first ``part``, which may have more axes.

    Returns:
      uint32 ``part``.
    """
    index = jnp.zeros(part, jnp.uint32)
    stride = 1
    for axis in range(1, len(shape) + 1):
        along = jax.lax.broadcasted_iota(jnp.uint32, part, len(part) - axis)
        index += along if stride == 1 else along * jnp.uint32(stride)
        stride *= shape[-axis]
    return index

"""Counter-based random bits: any element of a leaf's noise by its index, with no state.

A leaf is seen as a matrix of rows: the last axis, or the last few if that is short, are the
columns. Each row has a random 32-bit key, and an element's bits are a hash of its row's key plus
its column. That is a short chain of integer operations on each element, so XLA fuses it into
whatever consumes the noise and partitions it with the parameter; and a row, a block or one layer
of z costs only itself. The row keys are little beside the leaf, so they are drawn and kept for the
length of a forward pass.
"""

import math

import jax
import jax.numpy as jnp

from zojax._types import Array

LEAST_COLUMNS = 64


def _mix(x: Array) -> Array:
    # Two multiply-xorshift rounds with C. Wellons' constants (lowbias32): nearly every
    # input bit flips every output bit with probability 1/2.
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * jnp.uint32(0x735A2D97)
    return x ^ (x >> 15)


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
      part: Their first positions wanted; ``columns`` if None.

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

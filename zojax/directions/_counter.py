"""Counter-based random bits: any element of a leaf's noise, by its index, with no state.

``bits(words, index)`` hashes a 64-bit element index under a 64-bit key. It is a short chain of
integer operations on each element, so XLA fuses it into whatever consumes the noise and
partitions it with the parameter; and a row, a tile or one layer of z costs only itself.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from zojax._types import Array


def _mix(x: Array) -> Array:
    # Two multiply-xorshift rounds with C. Wellons' constants (lowbias32): nearly every
    # input bit flips every output bit with probability 1/2.
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * jnp.uint32(0x735A2D97)
    return x ^ (x >> 15)


def hash_bits(words: Array, low: Array, high: Array | None = None) -> Array:
    """Random uint32 for each 64-bit index ``high * 2**32 + low`` under the key ``words``.

    The two words enter on either side of a full mixing round. With one round, two leaves whose
    first words lie closer than their sizes would run through the same sequence.

    Args:
      words: uint32 [2].
      low: uint32 [...].
      high: uint32 [...], or None where every index is below 2**32.

    Returns:
      uint32 [...].
    """
    second = words[1] if high is None else words[1] + high * jnp.uint32(0x9E3779B9)
    return _mix(_mix(low + words[0]) + second)


def _inner_index(shape: tuple[int, ...], axes: int) -> Array:
    """Linear index over the trailing dimensions, uint32 of rank ``axes`` + len(shape)."""
    full = (1,) * axes + shape
    index = jnp.zeros(full, jnp.uint32)
    stride = 1
    for axis in reversed(range(axes, len(full))):
        index += jax.lax.broadcasted_iota(jnp.uint32, full, axis) * jnp.uint32(stride)
        stride *= full[axis]
    return index


def leaf_bits(words: Array, shape: tuple[int, ...], start: Array | None = None) -> Array:
    """Bits for every element of a leaf, or of the part of one that begins at ``start``.

    Args:
      words: uint32 [2].
      shape: Shape of the leaf or part.
      start: uint32 [2]: low and high word of the first element's index; None for 0.

    Returns:
      uint32 [*shape].
    """
    if math.prod(shape) >= 2**32:
        return row_bits(words, shape, jnp.arange(shape[0]), start)
    inner = _inner_index(shape, 0)
    if start is None:
        return hash_bits(words, inner)
    low = start[0] + inner
    return hash_bits(words, low, start[1] + (low < inner).astype(jnp.uint32))


def row_bits(
    words: Array, shape: tuple[int, ...], rows: Array, start: Array | None = None
) -> Array:
    """Bits for some rows (positions on the first axis) of a leaf.

    Args:
      words: uint32 [2].
      shape: Shape of the whole leaf, rank >= 1.
      rows: Integer [...]: rows wanted, each in [0, shape[0]).
      start: As in :func:`leaf_bits`.

    Returns:
      uint32 [*rows.shape, *shape[1:]], equal to ``leaf_bits(words, shape, start)[rows]``.
    """
    inner = _inner_index(shape[1:], rows.ndim)
    rows = rows.reshape(rows.shape + (1,) * (len(shape) - 1))
    if start is None and math.prod(shape) < 2**32:
        return hash_bits(words, rows.astype(jnp.uint32) * jnp.uint32(math.prod(shape[1:])) + inner)
    low, high = row_starts(shape, start)
    first = low[rows]
    low = first + inner
    return hash_bits(words, low, high[rows] + (low < first).astype(jnp.uint32))


def row_starts(shape: tuple[int, ...], start: Array | None = None) -> tuple[Array, Array]:
    """Low and high words of the index of each row's first element, uint32 [shape[0]] each."""
    # 64-bit products are a table from the host: JAX has no uint64 by default.
    firsts = np.arange(shape[0], dtype=np.uint64) * np.uint64(math.prod(shape[1:]))
    low = jnp.asarray((firsts & np.uint64(0xFFFFFFFF)).astype(np.uint32))
    high = jnp.asarray((firsts >> np.uint64(32)).astype(np.uint32))
    if start is None:
        return low, high
    total = low + start[0]
    return total, high + start[1] + (total < low).astype(jnp.uint32)

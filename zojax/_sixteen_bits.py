"""Arithmetic of 16-bit floats, in float32: their spacing, and rounding by chance."""

from typing import Any

import jax
import jax.numpy as jnp

from zojax._types import Array

# float32's smallest normal number: below it processors may flush to 0.
_TINY = 2.0**-126


def is_16_bit(x: Any) -> bool:
    """Whether an array is bfloat16 or float16."""
    dtype = jnp.result_type(x)
    return jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize == 2


def spacing(x: Array, dtype: Any) -> Array:
    """The distance between neighbours of ``dtype`` around ``x``: a power of two.

    Args:
      x: float32, finite.
      dtype: bfloat16 or float16.

    Returns:
      float32 of the shape of ``x``, at least 2**-126.
    """
    info = jnp.finfo(dtype)
    # The bits of the exponent alone are the largest power of two that is not more than |x|.
    exponent = jax.lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(0x7F800000)
    power = jax.lax.bitcast_convert_type(exponent, jnp.float32)
    least = jnp.float32(max(2.0 ** int(info.minexp), _TINY * 2.0 ** int(info.nmant)))
    return jnp.maximum(power, least) * jnp.float32(2.0 ** -int(info.nmant))


def by_chance(x: Array, dtype: Any, uniform: Array) -> Array:
    """Round to a neighbour in ``dtype``, to the nearer one with the higher chance: E = x.

    Args:
      x: float32.
      dtype: bfloat16 or float16.
      uniform: float32 of the shape of ``x``, uniform in [0, 1).

    Returns:
      float32 numbers that ``dtype`` has; x itself where it is not finite.
    """
    step = spacing(x, dtype)
    # Of x/step float32 keeps so many bits after the point, and the sum must be exact.
    bits = 2.0 ** (23 - int(jnp.finfo(dtype).nmant))
    rounded = jnp.floor(x / step + jnp.floor(uniform * bits) * (1.0 / bits)) * step
    return jnp.where(jnp.isfinite(x), rounded, x)

"""Standard normal directions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from zojax._types import Array
from zojax.directions._base import ElementwiseDirection


@dataclasses.dataclass(frozen=True)
class Gaussian(ElementwiseDirection):
    """z ~ N(0, I), by the inverse of the normal distribution function.

    Cost: about 45 elementwise operations an element.
    Error: |z| <= 5.3, since 24 bits make an element; the variance lost beyond is 1e-6.

    Examples:
      >>> import jax, zojax
      >>> zojax.Gaussian().draw(jax.random.key(0), (2, 3)).shape
      (2, 3)
    """

    def from_bits(self, bits: Array) -> Array:
        # The top 24 bits as a signed integer, moved by a half: symmetric about 0, never ±1.
        signed = jax.lax.bitcast_convert_type(bits, jnp.int32) >> 8
        uniform = (signed.astype(jnp.float32) + 0.5) * np.float32(2.0**-23)
        return np.float32(np.sqrt(2.0)) * jax.lax.erf_inv(uniform)

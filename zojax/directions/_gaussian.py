"""Standard normal directions."""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from zojax._types import Array
from zojax._xla import rounded
from zojax.directions._elementwise import ElementwiseDirection

# u = SCALE · n for a signed 32-bit n, and 1 - u² = SCALE² · (SQUARE - n²), so that no draw is
# multiplied by SCALE itself. It keeps |u| at most 1 - 2^-24, where the logarithm is finite.
SCALE = (1.0 - 2.0**-24) * 2.0**-31
SQUARE = float(np.float32(SCALE**-2))
HALF_WIDTH = 11.5  # of the interval [0, 23] of w
# Coefficients, lowest power first, fitted by benchmarks/fit_normal_quantile.py.
LOG = (1.4387255907058716, -0.6777830123901367, 0.3211873769760132, -0.08212996274232864)
RATIO = (
    3.759188175201416, 1.9871761798858643, -0.5011147260665894, 0.2127053439617157,
    0.07309319078922272, -0.11307618767023087,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Gaussian(ElementwiseDirection):
    r"""z ~ N(0, I), by the inverse of the normal distribution function.

    For a uniform u in (-1, 1), :math:`\sqrt2\,\mathrm{erf}^{-1}(u) / u` is smooth in
    :math:`w = -\log_2(1 - u^2)`, and one polynomial of w gives it over the whole range: few
    operations without a branch, which XLA fuses wherever the draw is used.

    Cost: about 25 elementwise operations an element, one of them a logarithm.
    Error: 3e-3 in z, 1e-6 in its variance, 2e-3 in its fourth moment; z stays within ±5.42.

    Examples:
      >>> import jax, zojax
      >>> zojax.Gaussian().draw(jax.random.key(0), (2, 3)).shape
      (2, 3)
    """

    def from_bits(self, bits: Array) -> Array:
        n = jax.lax.bitcast_convert_type(bits, jnp.int32).astype(jnp.float32)
        # The polynomial's argument lies in [-1, 1]: it is w / HALF_WIDTH - 1.
        centre = math.log2(SQUARE) / HALF_WIDTH - 1.0
        centred = jax.lax.platform_dependent(
            SQUARE - jnp.square(n),
            cpu=lambda x: _log2(x) * (-1.0 / HALF_WIDTH) + centre,
            default=lambda x: jnp.log(x) * (-1.0 / (HALF_WIDTH * math.log(2))) + centre,
        )
        return rounded(_polynomial(centred, [c * SCALE for c in RATIO]) * n)


def _log2(x: Array) -> Array:
    """log₂ x, to 1e-4, for normal positive x.

    Used on CPU, where XLA's own logarithm has other last bits inside and outside of vectorised
    loops, so that z would differ between programs. Elsewhere XLA's takes fewer operations.
    """
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    exponent = ((bits >> 23) - 127).astype(jnp.float32)
    fraction = jax.lax.bitcast_convert_type((bits & 0x7FFFFF) | 0x3F800000, jnp.float32) - 1.0
    return exponent + _polynomial(fraction, LOG) * fraction


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    total = x * coefficients[-1]
    for coefficient in reversed(coefficients[1:-1]):
        total = (total + coefficient) * x
    return total + coefficients[0]

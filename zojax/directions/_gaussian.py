"""Standard normal directions."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jax import lax

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
        # Operations of lax, for those of jnp are traced anew, each as a function, for every shape:
        # that was a fifth of the time in which a step is traced.
        n = lax.convert_element_type(lax.bitcast_convert_type(bits, np.int32), np.float32)
        # The polynomial's argument lies in [-1, 1]: it is w / HALF_WIDTH - 1.
        centre = math.log2(SQUARE) / HALF_WIDTH - 1.0
        centred = lax.platform_dependent(
            lax.sub(np.float32(SQUARE), lax.square(n)),
            cpu=lambda x: _line(_log2(x), -1.0 / HALF_WIDTH, centre),
            default=lambda x: _line(lax.log(x), -1.0 / (HALF_WIDTH * math.log(2)), centre),
        )
        return rounded(lax.mul(_polynomial(centred, [c * SCALE for c in RATIO]), n))


def _log2(x: Array) -> Array:
    """log₂ x, to 1e-4, for normal positive x.

    Used on CPU, where XLA's own logarithm has other last bits inside and outside of vectorised
    loops, so that z would differ between programs. Elsewhere XLA's takes fewer operations.
    """
    bits = lax.bitcast_convert_type(x, np.int32)
    exponent = lax.sub(lax.shift_right_arithmetic(bits, np.int32(23)), np.int32(127))
    mantissa = lax.bitwise_or(lax.bitwise_and(bits, np.int32(0x7FFFFF)), np.int32(0x3F800000))
    fraction = lax.sub(lax.bitcast_convert_type(mantissa, np.float32), np.float32(1.0))
    product = lax.mul(_polynomial(fraction, LOG), fraction)
    return lax.add(lax.convert_element_type(exponent, np.float32), product)


def _line(x: Array, slope: float, intercept: float) -> Array:
    return lax.add(lax.mul(x, np.float32(slope)), np.float32(intercept))


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    total = lax.mul(x, np.float32(coefficients[-1]))
    for coefficient in reversed(coefficients[1:-1]):
        total = lax.mul(lax.add(total, np.float32(coefficient)), x)
    return lax.add(total, np.float32(coefficients[0]))

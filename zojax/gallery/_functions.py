"""Test functions of two parameters, with the start of the runs and the minimum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jax.numpy as jnp

from zojax._types import Array


@dataclass(frozen=True)
class Function:
    """A function to minimise, and the window in which it is drawn.

    Args:
      name: Its name on the command line and in results.
      formula: The title of its panels, in matplotlib's mathtext.
      value: float32 [2] -> float32 []: a function of JAX arrays that can be compiled and, for
        first-order optimizers, differentiated.
      start: The point where every run starts.
      minimum: The minimum; reported values are relative to the value there.
      limits: ((x from, x to), (y from, y to)) of the images.
    """

    name: str
    formula: str
    value: Callable[[Array], Array]
    start: tuple[float, float]
    minimum: tuple[float, float]
    limits: tuple[tuple[float, float], tuple[float, float]]


def _absolute(p: Array) -> Array:
    return jnp.sum(jnp.abs(p))


def _absolute_rotated(p: Array) -> Array:
    x, y = p
    return jnp.abs(x + y) + jnp.abs(x - y) / 10


def _quadratic_rotated(p: Array) -> Array:
    x, y = p
    return (x + y) ** 2 + (x - y) ** 2 / 10


def _absolute_stretched(p: Array) -> Array:
    x, y = p
    return jnp.abs(x) / 10 + jnp.abs(y)


def _beale(p: Array) -> Array:
    x, y = p
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _rosenbrock(p: Array) -> Array:
    x, y = p
    return 100 * (x - y**2) ** 2 + (1 - y) ** 2


_WINDOW = ((-3.0, 3.0), (-2.0, 2.0))

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        function.name: function
        for function in (
            Function("absolute", "$|x| + |y|$", _absolute, (-2.5, 1.5), (0.0, 0.0), _WINDOW),
            Function(
                "absolute_rotated",
                "$|x+y| + |x-y|/10$",
                _absolute_rotated,
                (2.5, 0.0),
                (0.0, 0.0),
                _WINDOW,
            ),
            Function(
                "quadratic_rotated",
                "$(x+y)^2 + (x-y)^2/10$",
                _quadratic_rotated,
                (2.5, 0.0),
                (0.0, 0.0),
                _WINDOW,
            ),
            Function(
                "absolute_stretched",
                "$|x|/10 + |y|$",
                _absolute_stretched,
                (0.5, -1.5),
                (0.0, 0.0),
                ((-1.5, 1.5), (-2.0, 1.0)),
            ),
            Function("beale", "Beale", _beale, (4.5, 0.7), (3.0, 0.5), ((1.5, 5.0), (-0.75, 1.25))),
            Function(
                "rosenbrock",
                "Rosenbrock, $100(x-y^2)^2 + (1-y)^2$",
                _rosenbrock,
                (4.0, 4.0),
                (1.0, 1.0),
                ((-0.5, 6.0), (-0.5, 4.5)),
            ),
        )
    }
)
"""The functions of Figure 2 of the ZO-AdaMU paper (arXiv:2312.15184), by name. Their minimum value
is 0. The starting points are read from that figure."""

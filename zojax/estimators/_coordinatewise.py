"""Gradients by a difference along every coordinate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax import _check
from zojax._types import Array, Difference, Evaluation, HasAux, Params, ScalarOrSchedule
from zojax._xla import opaque, tied
from zojax.directions import Direction, Draws, LeafNoise, Noises
from zojax.estimators._estimator import estimator
from zojax.estimators._slopes import differences, parted
from zojax.slope_rules import SlopeRuleLike
from zojax.streaming import EVALUATIONS


def coordinatewise(
    eps: ScalarOrSchedule,
    *,
    max_size: int = 10_000,
    difference: Difference = "central",
    slope_rule: SlopeRuleLike | None = None,
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient by a difference along every coordinate.

    .. math::
        \hat g_j = \frac{L(\theta + \epsilon e_j) - L(\theta - \epsilon e_j)}{2\epsilon}

    For small problems, and as a reference for the random estimates.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      max_size: The most scalars that ``params`` may hold: a guard against a loop of hours.
      difference: ``"central"`` or ``"forward"``, as in :func:`zojax.spsa`.
      slope_rule, evaluation, has_aux: As in :func:`zojax.spsa`.

    Returns:
      A transformation to put first in a chain; ``update`` needs ``params`` and
      ``value_fn(params) -> float []``.

    Cost: 2d forward passes for d parameters (d + 1 with the forward difference); no memory beyond a
      forward pass when streamed.
    Error: O(eps²), zero on quadratics; rounding about ulp(L) / eps. There is no randomness.

    Raises:
      ValueError: ``eps`` is not positive, ``params`` hold more than ``max_size`` scalars, or
        ``update`` got no ``params``.
      TypeError: ``value_fn`` is no scalar function.

    References:
      Kiefer and Wolfowitz, 1952, doi:10.1214/aoms/1177729392.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> tx = zojax.coordinatewise(0.125)
      >>> params = jnp.array([1.0, -2.0])
      >>> gradient, _ = tx.update(None, tx.init(params), params, value_fn=lambda p: (p**2).sum())
      >>> gradient.tolist()
      [2.0, -4.0]
    """
    _check.positive("coordinatewise", "eps", eps)
    _check.count("coordinatewise", "max_size", max_size)
    _check.one_of("coordinatewise", "difference", difference, ("central", "forward"))
    _check.one_of("coordinatewise", "evaluation", evaluation, EVALUATIONS)
    of_losses, of_slopes = parted("coordinatewise", slope_rule, difference)

    def size(params: Params) -> int:
        found = _offsets(params)[-1]
        if found > max_size:
            raise ValueError(
                f"coordinatewise: params must hold at most max_size = {max_size} scalars, got "
                f"{found}, which is {2 * found} forward passes a step. Use zojax.spsa, or raise "
                f"max_size."
            )
        return found

    return estimator(
        "coordinatewise",
        differences(eps, difference, evaluation, of_losses=of_losses),
        _Coordinates(),
        keyless=True,
        num_queries=size,
        slope_rule=of_slopes,
        has_aux=has_aux,
    )


def _offsets(params: Params) -> list[int]:
    """Where each leaf's first coordinate lies among all, and their number last."""
    sizes = [math.prod(jnp.shape(x)) if _floating(x) else 0 for x in jax.tree.leaves(params)]
    return [0, *np.cumsum(sizes).tolist()]


def _floating(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


class _Coordinates(Direction):
    """The unit vectors, one after the other."""

    def at_step(
        self, state: Any, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[CoordinateDraws, Any]:
        del key, count
        floating = tuple(map(_floating, jax.tree.leaves(params)))
        coordinates = jnp.arange(num_queries, dtype=jnp.int32)
        return CoordinateDraws(coordinates, tuple(_offsets(params)), floating), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CoordinateDraws(Draws):
    """Unit vectors.

    Attributes:
      coordinates: int32 [q]: counted through all leaves.
      offsets: Where each leaf's first coordinate lies, and their number last.
      floating: Which leaves have coordinates.
    """

    coordinates: Array
    offsets: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    floating: tuple[bool, ...] = dataclasses.field(metadata={"static": True})

    @property
    def averaged(self) -> bool:
        return False

    @property
    def num_queries(self) -> int:
        return len(self.coordinates)

    def query(self, index: int | Array) -> Noises:
        coordinate = self.coordinates[index]
        return [
            CoordinateNoise(coordinate - start) if floats else None
            for start, floats in zip(self.offsets[:-1], self.floating, strict=True)
        ]

    def repeated(self, times: int) -> Self:
        return dataclasses.replace(self, coordinates=opaque(jnp.repeat(self.coordinates, times)))

    def after(self, values: Array) -> Self:
        return dataclasses.replace(self, coordinates=tied(self.coordinates, values)[0])

    def gradient(self, slopes: Array, leaves: Sequence[Array]) -> list[Array]:
        # Each slope is one element of the gradient, so nothing is averaged.
        spans = zip(leaves, self.offsets[:-1], self.offsets[1:], self.floating, strict=True)
        return [
            slopes[first:last].reshape(leaf.shape).astype(leaf.dtype)
            if floats
            else jnp.zeros_like(leaf)
            for leaf, first, last, floats in spans
        ]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CoordinateNoise(LeafNoise):
    """A leaf of a unit vector.

    Attributes:
      index: int32 []: where the leaf is 1, counted through its axes; outside of it, nowhere.
    """

    index: Array

    def draw(self, shape: tuple[int, ...]) -> Array:
        here = jnp.arange(math.prod(shape), dtype=jnp.int32) == self.index
        return here.astype(jnp.float32).reshape(shape)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        index, held = tied(self.index, list(values))
        return dataclasses.replace(self, index=index), held

    def in_loop(self, counter: Array) -> Self:
        return dataclasses.replace(self, index=self.index + counter)

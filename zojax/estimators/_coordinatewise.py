"""Gradients by a difference along every coordinate."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from zojax import _check
from zojax._types import Array, Evaluation, Params, ScalarOrSchedule, ValueFn
from zojax.directions import LeafNoise
from zojax.streaming import EVALUATIONS, Noises, loss_at, map_points


class CoordinatewiseState(NamedTuple):
    """State of :func:`coordinatewise`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    value: Array  # float32 []: mean of the step's losses, in the loss's unit; inf before the first


def coordinatewise(
    eps: ScalarOrSchedule, *, max_size: int = 10_000, evaluation: Evaluation = "streamed"
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient by a central difference along every coordinate.

    .. math::
        \hat g_j = \frac{L(\theta + \epsilon e_j) - L(\theta - \epsilon e_j)}{2\epsilon}

    For small problems, and as a yardstick for the random estimates.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      max_size: The most scalars that ``params`` may hold: a guard against a loop of hours.
      evaluation: As in :func:`zojax.spsa`.

    Returns:
      A transformation to put first in a chain; ``update`` needs ``params`` and
      ``value_fn(params) -> float []``.

    Cost: 2d forward passes for d parameters; no memory beyond a forward pass when streamed.
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
    _check.one_of("coordinatewise", "evaluation", evaluation, EVALUATIONS)

    def offsets(params: Params) -> list[int]:
        """Where each leaf's first coordinate lies among all, and their number last."""
        _check.parameters("coordinatewise", params)
        sizes = [math.prod(jnp.shape(x)) if _floating(x) else 0 for x in jax.tree.leaves(params)]
        found = [0, *np.cumsum(sizes).tolist()]
        if found[-1] > max_size:
            raise ValueError(
                f"coordinatewise: params must hold at most max_size = {max_size} scalars, got "
                f"{found[-1]}, which is {2 * found[-1]} forward passes a step. Use zojax.spsa, or "
                f"raise max_size."
            )
        return found

    def init(params: Params) -> CoordinatewiseState:
        offsets(params)
        return CoordinatewiseState(jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jnp.float32))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        **extra_args: Any,
    ) -> tuple[Any, CoordinatewiseState]:
        del updates, extra_args
        starts = offsets(params)
        leaves, tree = jax.tree.flatten(params)
        loss = loss_at("coordinatewise", value_fn, params, evaluation)
        scale = _check.at(eps, state.count)

        def axis(coordinate: Array) -> Noises:
            return [
                CoordinateNoise(coordinate - start) if _floating(leaf) else None
                for leaf, start in zip(leaves, starts[:-1], strict=True)
            ]

        def both(coordinate: Array) -> Array:
            if evaluation == "in_place":
                return jnp.stack([loss(axis(coordinate), scale), loss(axis(coordinate), -scale)])
            return lax.map(lambda s: loss(axis(coordinate), s), jnp.stack([scale, -scale]))

        coordinates = jnp.arange(starts[-1], dtype=jnp.int32)
        if evaluation == "in_place":
            losses = jnp.stack([both(coordinate) for coordinate in coordinates])
        else:
            losses = map_points(both, coordinates)
        slopes = (losses[:, 0] - losses[:, 1]) / (2.0 * scale)
        estimates = [
            slopes[first:last].reshape(leaf.shape).astype(leaf.dtype)
            if _floating(leaf)
            else jnp.zeros_like(leaf)
            for leaf, first, last in zip(leaves, starts[:-1], starts[1:], strict=True)
        ]
        count = _check.next_count(state.count)
        return jax.tree.unflatten(tree, estimates), CoordinatewiseState(count, jnp.mean(losses))

    return optax.GradientTransformationExtraArgs(init, update)


def _floating(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


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
        index, held = lax.optimization_barrier((self.index, list(values)))
        return dataclasses.replace(self, index=index), held

    def in_turn(self, turn: Array) -> Self:
        return dataclasses.replace(self, index=self.index + turn)

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
from zojax._leaves import arrays
from zojax._meter import Measured
from zojax._types import Array, Evaluation, Params, ScalarOrSchedule, ValueFn
from zojax.directions import LeafNoise
from zojax.estimators._progress import advanced, begun
from zojax.estimators._slopes import central_slopes, mean_loss
from zojax.streaming import EVALUATIONS, HasAux, loss_at, losses_at


class CoordinatewiseState(NamedTuple):
    """State of :func:`coordinatewise`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    value: Array  # float32 []: mean of the step's losses, in the loss's unit; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and counted as 0
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # of the last step's first point, if has_aux gives its structure; else None


def coordinatewise(
    eps: ScalarOrSchedule,
    *,
    max_size: int = 10_000,
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient by a central difference along every coordinate.

    .. math::
        \hat g_j = \frac{L(\theta + \epsilon e_j) - L(\theta - \epsilon e_j)}{2\epsilon}

    For small problems, and as a yardstick for the random estimates.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      max_size: The most scalars that ``params`` may hold: a guard against a loop of hours.
      evaluation, has_aux: As in :func:`zojax.spsa`.

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
        return CoordinatewiseState(**begun(has_aux))

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
        leaves, tree = jax.tree.flatten(arrays(params))
        loss = loss_at("coordinatewise", value_fn, params, evaluation, has_aux)
        scale = _check.at(eps, state.count)
        signs = jnp.array([1.0, -1.0], jnp.float32)

        def loss_of(point: int | Array) -> tuple[Array, Any]:
            coordinate = jnp.asarray(point // 2, jnp.int32)
            axis = [
                CoordinateNoise(coordinate - start) if _floating(leaf) else None
                for leaf, start in zip(leaves, starts[:-1], strict=True)
            ]
            return loss(axis, signs[point % 2] * scale)

        losses, aux = losses_at(loss_of, 2 * starts[-1], evaluation)
        slopes, usable = central_slopes(losses, scale)
        estimates = [
            slopes[first:last].reshape(leaf.shape).astype(leaf.dtype)
            if _floating(leaf)
            else jnp.zeros_like(leaf)
            for leaf, first, last in zip(leaves, starts[:-1], starts[1:], strict=True)
        ]
        found = Measured(slopes, usable, mean_loss(losses), aux)
        new_state = CoordinatewiseState(**advanced(state, found))
        return jax.tree.unflatten(tree, estimates), new_state

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

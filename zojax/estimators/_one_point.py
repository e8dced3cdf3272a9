"""Gradients from one loss a step, against the last step's."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zojax import _check
from zojax._meter import Measured, Meter, measured
from zojax._types import Array, Evaluation, KeyLike, Params, ScalarOrSchedule, ValueFn
from zojax.directions import Direction, Draws, Gaussian
from zojax.estimators._progress import advanced, begun, no_loss_yet
from zojax.estimators._slopes import guarded_slopes, mean_loss
from zojax.estimators._spsa import gradient
from zojax.streaming import EVALUATIONS, HasAux, loss_at, rounded_loss


class OnePointState(NamedTuple):
    """State of :func:`one_point`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant; step t draws from fold_in(key, t)
    value: Array  # float32 []: the last step's loss, in the loss's unit; inf before the first
    skipped: Array  # int32 []: slopes so far that were not usable, and counted as 0
    rested: Array  # bool []: whether the last step had no usable slope, and so moved nothing
    aux: Any  # of the last step's first point, if has_aux gives its structure; else None
    last: Array  # float []: the last finite loss, to compare with; inf before the first


def one_point(
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient from one loss, with the last step's loss as feedback.

    .. math::
        \hat g_t = \frac{L(\theta_t + \epsilon z_t; B_t)
        - L(\theta_{t-1} + \epsilon z_{t-1}; B_{t-1})}{\epsilon}\, z_t

    The first step has no feedback yet and does not move. Nor does one whose loss is not finite: the
    next step is compared with the last loss that was.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      key: Typed PRNG key or int seed. ``(key, count)`` and the last loss replay any step.
      direction: Draws z, shaped like each leaf, with E[z zᵀ] = I.
      evaluation, has_aux: As in :func:`zojax.spsa`.

    Returns:
      A transformation to put first in a chain; ``update`` needs ``params`` and
      ``value_fn(params) -> float []``.

    Cost: 1 forward pass; no memory beyond it when streamed. State: the last loss.
    Error: bias O(eps²), as :func:`zojax.spsa`; the variance is far larger, for the difference of
      two steps' losses holds the difference of their batches and directions, over eps.

    Raises:
      ValueError: ``eps`` is not positive, or ``update`` got no ``params``.
      TypeError: ``key`` is no key, ``direction`` no direction, or ``value_fn`` no scalar function.

    References:
      Zhang et al., 2022, "A New One-Point Residual-Feedback Oracle for Black-Box Learning and
      Control", Automatica. Malladi et al., 2023, arXiv:2305.17333, Appendix B.5.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = optax.chain(zojax.one_point(1e-1, key=0), optax.sgd(1e-3))
      >>> params = jnp.array([1.0, -2.0])
      >>> state = tx.init(params)
      >>> updates, state = tx.update(None, state, params, value_fn=lambda p: (p**2).sum())
      >>> bool((updates == 0).all())  # the first step only looks
      True
    """
    _check.positive("one_point", "eps", eps)
    _check.instance("one_point", "direction", direction, Direction)
    _check.one_of("one_point", "evaluation", evaluation, EVALUATIONS)
    fresh_key = _check.typed_key("one_point", key)

    def init(params: Params) -> OnePointState:
        _check.parameters("one_point", params)
        # In float64 where JAX has it: the width of the loss is not known yet.
        last = no_loss_yet(jax.dtypes.canonicalize_dtype(np.float64))
        return OnePointState(key=fresh_key(), **begun(has_aux), last=last)

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_fn: ValueFn | None = None,
        meter: Meter | None = None,
        **extra_args: Any,
    ) -> tuple[Any, OnePointState]:
        del updates, extra_args
        _check.parameters("one_point", params)
        draws = Draws.at_step(direction, state.key, state.count, 1, params)
        scale = _check.at(eps, state.count)

        def measure() -> Measured:
            loss = loss_at("one_point", value_fn, params, evaluation, has_aux)
            value, aux = loss(draws.query(0), scale)
            value = rounded_loss(value)[None]
            return Measured(value, jnp.isfinite(value), mean_loss(value), aux)

        found = measured(meter, "loss", 1, measure)
        new = found.scalars.astype(state.last.dtype)
        first = jnp.isinf(state.last)
        slopes, usable = guarded_slopes(new - jnp.where(first, new, state.last), scale)
        usable &= ~first
        estimate = gradient(draws.after(slopes), slopes, params)
        progress = advanced(state, found._replace(usable=usable))
        # That there is no feedback yet is no fault of the loss.
        no_fault = first & found.usable[0]
        progress["skipped"] = jnp.where(no_fault, state.skipped, progress["skipped"])
        last = jnp.where(found.usable[0], new[0], state.last)
        return estimate, OnePointState(key=state.key, **progress, last=last)

    return optax.GradientTransformationExtraArgs(init, update)

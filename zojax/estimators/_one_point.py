"""Gradients from one loss a step, against the last step's."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from zojax import _check
from zojax._meter import Measured, Meter, measured
from zojax._types import Array, Evaluation, KeyLike, Params, ScalarOrSchedule, ValueFn
from zojax.directions import Direction, Draws, Gaussian
from zojax.estimators._spsa import gradient
from zojax.streaming import EVALUATIONS, loss_at


class OnePointState(NamedTuple):
    """State of :func:`one_point`."""

    count: Array  # pyright: ignore[reportIncompatibleMethodOverride] - int32 []: updates taken
    key: Array  # typed key []: constant; step t draws from fold_in(key, t)
    value: Array  # float32 []: the last step's loss, in the loss's unit; inf before the first


def one_point(
    eps: ScalarOrSchedule,
    key: KeyLike,
    *,
    direction: Direction = Gaussian(),  # noqa: B008 (frozen)
    evaluation: Evaluation = "streamed",
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient from one loss, with the last step's loss as feedback.

    .. math::
        \hat g_t = \frac{L(\theta_t + \epsilon z_t; B_t)
        - L(\theta_{t-1} + \epsilon z_{t-1}; B_{t-1})}{\epsilon}\, z_t

    The first step has no feedback yet and does not move; nor does one after a loss that is not
    finite.

    Args:
      eps: Perturbation scale in parameter units; a float > 0 or a schedule of ``count``.
      key: Typed PRNG key or int seed. ``(key, count)`` and the last loss replay any step.
      direction: Draws z, shaped like each leaf, with E[z zᵀ] = I.
      evaluation: As in :func:`zojax.spsa`.

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
        inf = jnp.full((), jnp.inf, jnp.float32)
        return OnePointState(jnp.zeros((), jnp.int32), fresh_key(), inf)

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
            loss = loss_at("one_point", value_fn, params, evaluation)
            value = loss(draws.query(0), scale)
            return value[None], value

        [value], _ = measured(meter, "loss", 1, measure)
        slope = jnp.where(jnp.isfinite(state.value), (value - state.value) / scale, 0.0)
        estimate = gradient(draws.after(slope), slope[None], params)
        return estimate, OnePointState(_check.next_count(state.count), state.key, value)

    return optax.GradientTransformationExtraArgs(init, update)

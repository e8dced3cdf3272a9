"""Gradients from one loss a step, against the last step's."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from zojax import _check
from zojax._asking import Ends
from zojax._meter import Measured
from zojax._types import Array, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike, Draws, direction_of
from zojax.estimators._estimator import estimator
from zojax.estimators._slopes import mean_loss
from zojax.slope_rules import SlopeRuleLike, check_rule_of_slopes, slope_rule_of
from zojax.streaming import EVALUATIONS, Objective


def one_point(
    eps: ScalarOrSchedule,
    *,
    key: KeyLike,
    direction: DirectionLike = "gaussian",
    slope_rule: SlopeRuleLike | None = None,
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
      direction, slope_rule, evaluation, has_aux: As in :func:`zojax.spsa`.

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
      >>> bool((updates == 0).all())  # the first step only measures
      True
    """
    _check.positive("one_point", "eps", eps)
    _check.one_of("one_point", "evaluation", evaluation, EVALUATIONS)

    why = "a step has one loss"
    rule = check_rule_of_slopes("one_point", slope_rule_of("one_point", slope_rule), why)

    def measure(objective: Objective, draws: Draws, count: Array) -> Measured:
        loss, scale = objective.at(evaluation), _check.at(eps, count)
        value, aux = objective.losses_at(
            lambda _: loss(draws.query(0), scale), 1, evaluation, ends=Ends((1,), scale)
        )
        return Measured(value, jnp.isfinite(value), mean_loss(value), aux)

    return estimator(
        "one_point",
        measure,
        direction_of("one_point", direction),
        key=key,
        slope_rule=rule,
        has_aux=has_aux,
        residual_eps=eps,
    )

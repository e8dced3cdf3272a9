"""Gradients from directional derivatives, taken in forward mode."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._meter import Measured
from zojax._types import Array, HasAux, KeyLike
from zojax.directions import DirectionLike, Draws, direction_of
from zojax.estimators._estimator import estimator
from zojax.estimators._slopes import guarded_slopes
from zojax.slope_rules import SlopeRuleLike, check_rule_of_slopes, slope_rule_of
from zojax.streaming import Objective

ForwardEvaluation: TypeAlias = Literal["streamed", "copy"]


def forward_gradient(
    *,
    key: KeyLike,
    num_queries: int = 1,
    direction: DirectionLike = "gaussian",
    slope_rule: SlopeRuleLike | None = None,
    evaluation: ForwardEvaluation = "streamed",
    has_aux: HasAux = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Estimates the gradient from exact slopes along random directions.

    .. math:: \hat g = \frac1q \sum_i (\nabla L \cdot z_i)\, z_i

    The slope is a Jacobian-vector product, :math:`\partial_s L(\theta + s z)` at s = 0, taken by
    ``jax.jvp``. Forward mode carries a tangent along with each activation and keeps neither for
    later; there is no backward pass.

    Args:
      key: Typed PRNG key or int seed. ``(key, count)`` alone replays any step.
      num_queries: Directions per step, q ≥ 1.
      direction, slope_rule: As in :func:`zojax.spsa`.
      evaluation: ``"streamed"`` makes the tangent of each weight where the weight is consumed;
        ``"copy"`` makes all of z first.
      has_aux: As in :func:`zojax.spsa`.

    Returns:
      A transformation to put first in a chain; ``update`` needs ``params`` and
      ``value_fn(params) -> float []``, which must be differentiable JAX.

    Cost: q Jacobian-vector products, about 3 forward passes each; twice the activations of a
      forward pass and no weight's tangent beyond the one in use when streamed.
    Error: unbiased; E‖ĝ‖² = (d + 2)‖∇L‖² for one Gaussian direction. No difference is taken, so
      there is no ε and no rounding but the loss's own; in bfloat16 tangents are rounded as
      activations are.

    Raises:
      ValueError: ``num_queries`` < 1, ``evaluation`` is unknown, or ``update`` got no ``params``.
      TypeError: ``key`` is no key, ``direction`` no direction, or ``value_fn`` no scalar function.

    References:
      Baydin et al., 2022, arXiv:2202.08587. Zhang et al., 2024, arXiv:2402.11592.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = optax.chain(zojax.forward_gradient(key=0), optax.sgd(1e-2))
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(
      ...     None, tx.init(params), params, value_fn=lambda p: (p**2).sum()
      ... )
      >>> float(zojax.last_loss(state))
      5.0
    """
    _check.count("forward_gradient", "num_queries", num_queries)
    _check.one_of("forward_gradient", "evaluation", evaluation, ("streamed", "copy"))

    rule = check_rule_of_slopes(
        "forward_gradient",
        slope_rule_of("forward_gradient", slope_rule),
        "slopes are derivatives at the parameters, where there is one loss",
    )

    def measure(objective: Objective, draws: Draws, count: Array) -> Measured:
        del count
        loss = objective.at(evaluation, differentiated=True)

        def slope_of(query: Array) -> tuple[Array, Array, Any]:
            noises = draws.query(query)
            zero, one = jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32)
            # At scale 0 the primal is L(θ) itself, and the tangent of each weight is its z.
            return jax.jvp(lambda scale: loss(noises, scale), (zero,), (one,), has_aux=True)

        values, slopes, aux = objective.map_points(slope_of, num_queries)
        # Where the loss is not finite, its slopes are not used.
        slopes = jnp.where(jnp.isfinite(values), slopes, jnp.nan)
        slopes, usable = guarded_slopes(slopes, jnp.ones((), jnp.float32))
        first = jax.tree.map(lambda x: x[0], aux)
        return Measured(slopes, usable, values[0].astype(jnp.float32), first)

    return estimator(
        "forward_gradient",
        measure,
        direction_of("forward_gradient", direction),
        key=key,
        num_queries=int(num_queries),
        slope_rule=rule,
        has_aux=has_aux,
    )

"""ZO-AdaMM: AMSGrad within bounds."""

from __future__ import annotations

from typing import Any

import optax

from zojax import _check
from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.optimizers._moments import scale_by_moments
from zojax.rules import keep_in_box
from zojax.slope_rules import SlopeRuleLike


@speaks_for("spsa", "keep_in_box")
def zo_adamm(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    adam_eps: ScalarOrSchedule = 1e-8,
    lower: Any = None,
    upper: Any = None,
    num_queries: int = 1,
    direction: DirectionLike = "gaussian",
    difference: Difference = "central",
    slope_rule: SlopeRuleLike | None = None,
    evaluation: Evaluation = "streamed",
    batched: bool = False,
    has_aux: HasAux = False,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""ZO-AdaMM: AMSGrad on the two-point estimate, projected onto a box.

    .. math::
        m &\leftarrow \beta_1 m + (1-\beta_1)\,\hat g, \qquad
        v \leftarrow \beta_2 v + (1-\beta_2)\,\hat g^2, \qquad
        \hat v \leftarrow \max(\hat v, v) \\
        \theta &\leftarrow \Pi_{X,\sqrt{\hat v}}\bigl(\theta - \eta\, m / \sqrt{\hat v}\bigr)

    Without ``lower`` and ``upper`` the projection Π is the identity. It is taken in the Mahalanobis
    norm of :math:`\sqrt{\hat v}`: see :func:`zojax.rules.keep_in_box` for why that is clipping.
    There is no correction of bias, as in the paper, so the first step is
    :math:`\eta(1-\beta_1)/\sqrt{1-\beta_2}` in each parameter.

    Args:
      learning_rate: η in parameter units; a float or a schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule. Probes may leave the
        box by it.
      key: Typed PRNG key or int seed.
      b1, b2: β₁ and β₂ in [0, 1]; floats or schedules.
      adam_eps: Added to the denominator; a float >= 0 or a schedule.
      lower, upper: Bounds of the parameters: numbers, or trees of arrays like the parameters;
        ``None`` for none.
      num_queries, direction, difference, slope_rule, evaluation, batched, has_aux: See
        :func:`zojax.spsa`.
      weight_decay, mask: As in :func:`zojax.mezo`; decoupled, and before the projection.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`, and three float32 buffers with as many elements as the parameters.
    Error: as :func:`zojax.zo_adam`; bounds hold to a rounding of the parameters' dtype.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``b1`` or ``b2`` is outside [0, 1];
        ``learning_rate``, ``adam_eps`` or ``weight_decay`` is negative; ``lower`` exceeds
        ``upper``.

    References:
      Chen et al., 2019, arXiv:1910.06513, Algorithm 1.

    Examples:
      >>> import jax.numpy as jnp, optax, zojax
      >>> tx = zojax.zo_adamm(learning_rate=0.5, eps=1e-3, key=0, lower=0.0)
      >>> params = jnp.array([1.0])
      >>> state = tx.init(params)
      >>> updates, state = tx.update(None, state, params, value_fn=lambda p: p.sum())
      >>> optax.apply_updates(params, updates).tolist()
      [0.0]
    """
    _check.fraction("zo_adamm", "b1", b1)
    _check.fraction("zo_adamm", "b2", b2)
    _check.non_negative("zo_adamm", "adam_eps", adam_eps)
    unconstrained = lower is None and upper is None
    return chain(
        spsa(
            eps,
            key=key,
            num_queries=num_queries,
            direction=direction,
            difference=difference,
            slope_rule=slope_rule,
            evaluation=evaluation,
            batched=batched,
            has_aux=has_aux,
        ),
        scale_by_moments(b1, b2, adam_eps, amsgrad=True),
        decay("zo_adamm", weight_decay, mask),
        descend("zo_adamm", learning_rate),
        optax.identity() if unconstrained else keep_in_box(lower, upper),
    )

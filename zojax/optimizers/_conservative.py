"""ZO-SGD-Conservative: no step that makes the batch's loss worse."""

from __future__ import annotations

from typing import Any

import optax

from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.rules import conservative
from zojax.slope_rules import SlopeRuleLike


@speaks_for("spsa", "conservative")
def zo_sgd_conservative(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
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
    r"""ZO-SGD-Conservative: the best of staying, stepping and stepping back.

    .. math::
        \theta \leftarrow \arg\min L(\,\cdot\,; B) \text{ over }
        \{\theta,\ \theta - \eta u,\ \theta + \eta u\}, \qquad u = \hat g + \lambda\theta

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      num_queries, direction, difference, slope_rule, evaluation, batched, has_aux: See
        :func:`zojax.spsa`.
      weight_decay, mask: As in :func:`zojax.mezo`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: 2q + 3 forward passes (q + 4 with the forward difference); one buffer of the parameters'
      size for the step while it is tried. No state beyond scalars.
    Error: the minimum is over one batch; it favours steps that fit the batch's noise.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``learning_rate`` or
        ``weight_decay`` is negative.

    References:
      Zhang et al., 2024, arXiv:2402.11592.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> tx = zojax.zo_sgd_conservative(learning_rate=1e3, eps=1e-3, key=0)
      >>> params = jnp.array([3.0, -4.0])
      >>> updates, _ = tx.update(None, tx.init(params), params, value_fn=lambda p: (p**2).sum())
      >>> updates.tolist()  # a step that is far too long is not taken
      [-0.0, -0.0]
    """
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
        decay("zo_sgd_conservative", weight_decay, mask),
        descend("zo_sgd_conservative", learning_rate),
        conservative(evaluation=evaluation, has_aux=has_aux),
    )

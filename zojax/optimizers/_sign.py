"""ZO-SGD-Sign: steps along the sign of the estimate."""

from __future__ import annotations

from typing import Any

import optax

from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.slope_rules import SlopeRuleLike


@speaks_for("spsa")
def zo_sgd_sign(
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
    r"""ZO-SGD-Sign: the sign of the estimate instead of the estimate.

    .. math::
        \theta \leftarrow \theta - \eta\,(\mathrm{sign}(\hat g) + \lambda\theta)

    This is the paper's rule. The code released with arXiv:2402.11592 takes the sign of the slope
    along z instead, and steps along :math:`\frac1q \sum_i \mathrm{sign}(g_i)\, z_i`: that is
    ``zojax.mezo(..., slope_rule="sign")``. With random signs for z and one query the two
    are the same.

    Args:
      learning_rate: η in parameter units, the length of each step of each parameter; a float or a
        schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      num_queries, direction, difference, slope_rule, evaluation, batched, has_aux: See
        :func:`zojax.spsa`.
      weight_decay, mask: As in :func:`zojax.mezo`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`; no state beyond scalars.
    Error: biased, for the mean of a sign is not the sign of the mean.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``learning_rate`` or ``weight_decay`` is
        negative.

    References:
      Liu et al., 2019, "signSGD via Zeroth-Order Oracle", ICLR. Zhang et al., 2024,
      arXiv:2402.11592.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> tx = zojax.zo_sgd_sign(learning_rate=0.5, eps=1e-3, key=0)
      >>> params = jnp.array([3.0, -4.0])
      >>> updates, _ = tx.update(None, tx.init(params), params, value_fn=lambda p: (p**2).sum())
      >>> abs(updates).tolist()
      [0.5, 0.5]
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
        optax.scale_by_sign(),
        decay("zo_sgd_sign", weight_decay, mask),
        descend("zo_sgd_sign", learning_rate),
    )

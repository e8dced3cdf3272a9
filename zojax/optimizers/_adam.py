"""ZO-Adam."""

from __future__ import annotations

from typing import Any

import optax

from zojax import _check
from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.optimizers._moments import scale_by_moments
from zojax.slope_rules import SlopeRuleLike


@speaks_for("spsa")
def zo_adam(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    adam_eps: ScalarOrSchedule = 1e-8,
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
    r"""ZO-Adam: Adam on the two-point estimate.

    .. math::
        m &\leftarrow \beta_1 m + (1-\beta_1)\,\hat g, \qquad
        v \leftarrow \beta_2 v + (1-\beta_2)\,\hat g^2 \\
        \theta &\leftarrow \theta - \eta\,\Bigl(
        \frac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + 10^{-8}} + \lambda\theta\Bigr)

    Args:
      learning_rate: η in parameter units; a float or a schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule. It is not Adam's
        epsilon, which is ``adam_eps``.
      key: Typed PRNG key or int seed.
      b1, b2: β₁ and β₂ in [0, 1]; floats or schedules.
      adam_eps: Added to the denominator; a float >= 0 or a schedule.
      num_queries, direction, difference, slope_rule, evaluation, batched, has_aux: See
        :func:`zojax.spsa`.
      weight_decay, mask: As in :func:`zojax.mezo`; decoupled, as in AdamW.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`, and two float32 buffers with as many elements as the parameters.
      In bfloat16 β₂ = 0.999 would be 1, and v would never decay.
    Error: with one query all elements of ĝ share one slope, so v is nearly the same everywhere
      and the method is nearly ZO-SGD with momentum and a scaled learning rate.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``b1`` or ``b2`` is outside [0, 1];
        ``learning_rate``, ``adam_eps`` or ``weight_decay`` is negative.

    References:
      Kingma and Ba, 2015, arXiv:1412.6980. Zhang et al., 2024, arXiv:2402.11592.

    Examples:
      >>> import zojax
      >>> tx = zojax.zo_adam(learning_rate=1e-5, eps=1e-3, key=0)
    """
    _check.fraction("zo_adam", "b1", b1)
    _check.fraction("zo_adam", "b2", b2)
    _check.non_negative("zo_adam", "adam_eps", adam_eps)
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
        scale_by_moments(b1, b2, adam_eps),
        decay("zo_adam", weight_decay, mask),
        descend("zo_adam", learning_rate),
    )

"""ZO-AdaMU: descent along a direction with momentum."""

from __future__ import annotations

from typing import Any

import optax

from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import Anneal, DirectionLike, MomentumCentred, direction_of
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.slope_rules import SlopeRuleLike


@speaks_for("spsa", "MomentumCentred")
def zo_adamu(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    num_steps: int | None = None,
    phases: tuple[int, int, int] | None = None,
    anneal: Anneal = "figure",
    alpha: ScalarOrSchedule | None = None,
    beta1: ScalarOrSchedule | None = None,
    beta2: ScalarOrSchedule | None = None,
    signed_momentum: bool = True,
    centre_dtype: Any = None,
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
    r"""ZO-AdaMU: momentum and adaptivity in the perturbation.

    .. math::
        \theta \leftarrow \theta - \eta\,\Bigl(\frac1q \sum_i
        \frac{g_i\,m_{t,i}}{\sqrt{v_{t,i} + 10^{-8}}} + \lambda\theta\Bigr)

    with the slopes :math:`g_i` along the directions :math:`m_{t,i}` of
    :class:`zojax.MomentumCentred`.

    Args:
      learning_rate: η; a float or a schedule of the step. The paper tunes whole models at 1e-4.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule. The paper's is 1e-3
        for whole models, 1e-2 for prefixes and 1e-1 for LoRA.
      key: Typed PRNG key or int seed.
      num_steps: The training's length, over which α, β₁ and β₂ are annealed as in the paper.
      phases, anneal, alpha, beta1, beta2, signed_momentum, centre_dtype: See
        :class:`zojax.MomentumCentred`; the paper's phases are those of 20,000 steps.
      num_queries, difference, slope_rule, evaluation, batched, has_aux: See :func:`zojax.spsa`.
        The paper has one query.
      direction: Draws ξ̇ and ξ̈.
      weight_decay: λ ≥ 0; a float or a schedule.
      mask: Tree of bools, or a function of the parameters that gives one: where λ applies.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`; one buffer of the parameters' size.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa` and :class:`zojax.MomentumCentred`;
        ``learning_rate`` or ``weight_decay`` is negative.

    References:
      Jiang et al., 2024, arXiv:2312.15184, Algorithm 1.

    Examples:
      >>> import zojax
      >>> tx = zojax.zo_adamu(learning_rate=1e-4, eps=1e-3, key=0, num_steps=1000)
    """
    centred = MomentumCentred(
        num_steps=num_steps,
        phases=phases,
        anneal=anneal,
        alpha=alpha,
        beta1=beta1,
        beta2=beta2,
        signed_momentum=signed_momentum,
        centre_dtype=centre_dtype,
        base=direction_of("zo_adamu", direction),
    )
    return chain(
        spsa(
            eps,
            key=key,
            num_queries=num_queries,
            direction=centred,
            difference=difference,
            slope_rule=slope_rule,
            evaluation=evaluation,
            batched=batched,
            has_aux=has_aux,
        ),
        decay("zo_adamu", weight_decay, mask),
        descend("zo_adamu", learning_rate),
    )

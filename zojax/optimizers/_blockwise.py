"""ZO-SGD-Block: descent block by block."""

from __future__ import annotations

from typing import Any

import optax

from zojax import _check
from zojax._types import Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.coordinates import Blocks
from zojax.directions import DirectionLike
from zojax.estimators import blockwise
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.slope_rules import SlopeRuleLike


@speaks_for("blockwise")
def zo_sgd_blockwise(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    blocks: Blocks = "layers",
    in_turn: bool = True,
    direction: DirectionLike = "gaussian",
    slope_rule: SlopeRuleLike | None = None,
    evaluation: Evaluation = "streamed",
    has_aux: HasAux = False,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""ZO-SGD-Block: each block of parameters has a two-point estimate of its own.

    .. math::
        \theta_b \leftarrow \theta_b - \eta\,(\hat g_b + \lambda\theta_b)
        \quad \text{for each block } b

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      blocks: See :func:`zojax.blockwise`.
      in_turn: Let each block see the earlier blocks' steps; False evaluates all at the same θ.
      direction, slope_rule, evaluation, has_aux: See :func:`zojax.blockwise`; a slope rule needs
        ``in_turn=False``.
      weight_decay, mask: As in :func:`zojax.mezo`. Blocks decay together, after the last block's
        turn.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.blockwise`, two forward passes for each block; no state beyond scalars.

    Raises:
      ValueError, TypeError: as :func:`zojax.blockwise`; ``learning_rate`` or
        ``weight_decay`` is negative.

    References:
      Zhang et al., 2024, arXiv:2402.11592, Section 6.

    Examples:
      >>> import zojax
      >>> tx = zojax.zo_sgd_blockwise(learning_rate=1e-6, eps=1e-3, key=0)
    """
    _check.non_negative("zo_sgd_blockwise", "learning_rate", learning_rate)
    _check.flag("zo_sgd_blockwise", "in_turn", in_turn)
    return chain(
        blockwise(
            eps,
            key=key,
            blocks=blocks,
            in_turn=learning_rate if in_turn else None,
            direction=direction,
            slope_rule=slope_rule,
            evaluation=evaluation,
            has_aux=has_aux,
        ),
        decay("zo_sgd_blockwise", weight_decay, mask),
        descend("zo_sgd_blockwise", learning_rate),
    )

"""ZO-SGD with momentum."""

from __future__ import annotations

from functools import partial
from typing import Any

import optax

from zojax import _check
from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.optimizers._scheduled import scheduled
from zojax.slope_rules import SlopeRuleLike


@speaks_for("spsa")
def zo_sgd_momentum(
    learning_rate: ScalarOrSchedule,
    *,
    eps: ScalarOrSchedule,
    key: KeyLike,
    momentum: ScalarOrSchedule = 0.9,
    mu_dtype: Any = None,
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
    r"""ZO-SGD with heavy-ball momentum.

    .. math::
        m \leftarrow \hat g + \beta m, \qquad \theta \leftarrow \theta - \eta\,(m + \lambda\theta)

    Args:
      learning_rate: η; a float or a schedule of the step.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule.
      key: Typed PRNG key or int seed.
      momentum: β in [0, 1]; a float or a schedule.
      mu_dtype: dtype of m; the parameters' where None.
      num_queries, direction, difference, slope_rule, evaluation, batched, has_aux: See
        :func:`zojax.spsa`.
      weight_decay, mask: As in :func:`zojax.mezo`; λθ does not enter m.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`, and one buffer of the parameters' size for m.
    Error: in a steady state the step is that of a learning rate η/(1 − β).

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``momentum`` is outside [0, 1];
        ``learning_rate`` or ``weight_decay`` is negative.

    References:
      Huang et al., 2022, "Accelerated Zeroth-Order and First-Order Momentum Methods from Mini to
      Minimax Optimization", JMLR 23, arXiv:2008.08170.

    Examples:
      >>> import zojax
      >>> tx = zojax.zo_sgd_momentum(learning_rate=1e-7, eps=1e-3, key=0)
    """
    _check.fraction("zo_sgd_momentum", "momentum", momentum)
    _check.float_dtype("zo_sgd_momentum", "mu_dtype", mu_dtype)
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
        scheduled(partial(optax.trace, accumulator_dtype=mu_dtype), decay=momentum),
        decay("zo_sgd_momentum", weight_decay, mask),
        descend("zo_sgd_momentum", learning_rate),
    )

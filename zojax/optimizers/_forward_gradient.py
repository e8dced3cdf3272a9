"""Forward-gradient descent."""

from __future__ import annotations

from typing import Any

import optax

from zojax._types import HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike
from zojax.estimators import ForwardEvaluation, forward_gradient
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.slope_rules import SlopeRuleLike


@speaks_for("forward_gradient")
def forward_gradient_sgd(
    learning_rate: ScalarOrSchedule,
    *,
    key: KeyLike,
    num_queries: int = 1,
    direction: DirectionLike = "gaussian",
    slope_rule: SlopeRuleLike | None = None,
    evaluation: ForwardEvaluation = "streamed",
    has_aux: HasAux = False,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Stochastic gradient descent on the forward gradient.

    .. math::
        \theta \leftarrow \theta - \eta\,\Bigl(\frac1q \sum_i (\nabla L \cdot z_i)\, z_i
        + \lambda\theta\Bigr)

    Args:
      learning_rate: η; a float or a schedule of the step.
      key: Typed PRNG key or int seed.
      num_queries, direction, slope_rule, evaluation, has_aux: See
        :func:`zojax.forward_gradient`.
      weight_decay, mask: As in :func:`zojax.mezo`.

    Returns:
      An optimizer whose ``update`` needs ``params`` and a ``value_fn`` that JAX can differentiate;
      its updates may be ``None``.

    Cost: as :func:`zojax.forward_gradient`; no state beyond scalars.

    Raises:
      ValueError, TypeError: as :func:`zojax.forward_gradient`; ``learning_rate`` or
        ``weight_decay`` is negative.

    References:
      Baydin et al., 2022, arXiv:2202.08587. Zhang et al., 2024, arXiv:2402.11592.

    Examples:
      >>> import zojax
      >>> tx = zojax.forward_gradient_sgd(learning_rate=1e-6, key=0)
    """
    return chain(
        forward_gradient(
            key=key,
            num_queries=num_queries,
            direction=direction,
            slope_rule=slope_rule,
            evaluation=evaluation,
            has_aux=has_aux,
        ),
        decay("forward_gradient_sgd", weight_decay, mask),
        descend("forward_gradient_sgd", learning_rate),
    )

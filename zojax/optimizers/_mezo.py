"""MeZO: descent along the two-point estimate."""

from __future__ import annotations

from typing import Any

import optax

from zojax._types import Difference, Evaluation, HasAux, KeyLike, ScalarOrSchedule
from zojax.directions import DirectionLike
from zojax.estimators import spsa
from zojax.optimizers._chain import chain, decay, descend, speaks_for
from zojax.slope_rules import SlopeRuleLike


@speaks_for("spsa")
def mezo(
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
    r"""MeZO, which is ZO-SGD: stochastic gradient descent on a two-point estimate.

    .. math::
        \theta \leftarrow \theta - \eta\,(\hat g + \lambda\theta)

    Args:
      learning_rate: η; a float or a schedule of the step. The paper tunes whole models at 1e-6.
      eps: Perturbation scale in parameter units; a float > 0 or a schedule. The paper's is 1e-3.
      key: Typed PRNG key or int seed.
      num_queries, direction, difference, slope_rule, evaluation, batched, has_aux: See
        :func:`zojax.spsa`.
      weight_decay: λ ≥ 0; a float or a schedule.
      mask: Tree of bools, or a function of the parameters that gives one: where λ applies.
        Usual is to spare biases and layer norms.

    Returns:
      An optimizer whose ``update`` needs ``params`` and ``value_fn``; its updates may be ``None``.

    Cost: as :func:`zojax.spsa`; no state beyond scalars.

    Raises:
      ValueError, TypeError: as :func:`zojax.spsa`; ``learning_rate`` or
        ``weight_decay`` is negative.

    References:
      Malladi et al., 2023, arXiv:2305.17333, Algorithm 1.

    Examples:
      >>> import jax, jax.numpy as jnp, optax, zojax
      >>> tx = zojax.mezo(learning_rate=0.05, eps=1e-3, key=0)
      >>> params = {"w": jnp.array([1.0, -2.0])}
      >>> state = tx.init(params)
      >>> @jax.jit
      ... def step(params, state):
      ...     loss = lambda p: jnp.sum(p["w"] ** 2)
      ...     updates, state = tx.update(None, state, params, value_fn=loss)
      ...     return optax.apply_updates(params, updates), state
      >>> for _ in range(200):
      ...     params, state = step(params, state)
      >>> bool(zojax.last_loss(state) < 1e-3)
      True
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
        decay("mezo", weight_decay, mask),
        descend("mezo", learning_rate),
    )


zo_sgd = speaks_for("mezo", name="zo_sgd")(mezo)

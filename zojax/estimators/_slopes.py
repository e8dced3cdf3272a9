"""Slopes along the directions of a step, from losses near θ."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import optax

from zojax import _check
from zojax._asking import Ends
from zojax._meter import Measured
from zojax._types import Array, Difference, Evaluation, ScalarOrSchedule
from zojax.directions import Draws
from zojax.slope_rules import LossRule, SlopeRuleLike, slope_rule_of
from zojax.streaming import Loss, Objective, rounded_loss

Measure: TypeAlias = Callable[[Objective, Any, Array], Measured]
"""``measure(objective, draws, count)``: the step's scalars, from losses near θ along the draws."""


def parted(
    where: str, slope_rule: SlopeRuleLike | None, difference: Difference
) -> tuple[LossRule | None, optax.GradientTransformation | None]:
    """A slope rule as one of losses, or as one of slopes; the other is None."""
    rule = slope_rule_of(where, slope_rule)
    if not isinstance(rule, LossRule):
        return None, rule
    if difference == "forward":
        raise ValueError(
            f"{where}: difference must be 'central' or 'centred' with a slope_rule of losses "
            f"(ranks or z_scores), got 'forward', whose loss at the parameters they do not use."
        )
    return rule, None


def differences(
    eps: ScalarOrSchedule,
    difference: Difference,
    evaluation: Evaluation,
    *,
    batched: bool = False,
    of_losses: LossRule | None = None,
) -> Measure:
    """Slopes from differences of losses: at θ ± εz, or at θ + εz and θ, or at θ + εz alone.

    Args:
      eps: ε; a float or a schedule of the step.
      difference: ``"central"``; ``"forward"``, against the loss at θ; or ``"centred"``, against
        the mean of all queries' losses.
      evaluation: As in :meth:`zojax.streaming.Objective.at`.
      batched: All points in one pass rather than one after the other.
      of_losses: What scores the losses first; not with ``"forward"``.
    """

    def measure(objective: Objective, draws: Draws, count: Array) -> Measured:
        loss, scale = objective.at(evaluation), _check.at(eps, count)
        return slopes_along(
            objective,
            loss,
            draws,
            scale,
            evaluation,
            difference=difference,
            batched=batched,
            of_losses=of_losses,
        )

    return measure


def slopes_along(
    objective: Objective,
    loss: Loss,
    draws: Draws,
    eps: Array,
    evaluation: Evaluation,
    *,
    difference: Difference = "central",
    batched: bool = False,
    of_losses: LossRule | None = None,
    first_query: int = 0,
) -> Measured:
    """The slopes of a loss along the directions of a step: see :func:`differences`."""
    queries = draws.num_queries
    if difference == "central":
        points, scales = draws.repeated(2), jnp.tile(jnp.stack([eps, -eps]), queries)
        losses, aux = objective.losses_at(
            lambda i: loss(points.query(i), scales[i]),
            2 * queries,
            evaluation,
            batched=batched,
            ends=Ends((1, -1), eps, first_query),
        )
        ends, apart = losses.reshape(-1, 2), 2.0 * eps
        if of_losses is not None:
            ends, apart = _scores(ends, of_losses), jnp.where(eps == 0, 0.0, 2.0)
        ahead, behind = ends.T
        return Measured(*guarded_slopes(ahead - behind, apart), mean_loss(losses), aux)
    base = aux = None
    points = draws.repeated(1)
    if difference == "forward":
        base, aux = objective.loss_here(loss, Ends((0,), eps))
        points = points.after(base)
    losses, first = objective.losses_at(
        lambda i: loss(points.query(i), eps),
        queries,
        evaluation,
        batched=batched,
        ends=Ends((1,), eps),
    )
    if of_losses is not None:
        [scores], apart = _scores(losses[:, None], of_losses).T, jnp.where(eps == 0, 0.0, 1.0)
        return Measured(*guarded_slopes(scores, apart), mean_loss(losses), first)
    if base is None:
        return Measured(*guarded_slopes(_centred(losses), eps), mean_loss(losses), first)
    value = mean_loss(jnp.append(losses, base))
    return Measured(*guarded_slopes(losses - base, eps), value, aux)


def guarded_slopes(differences: Array, distance: Array) -> tuple[Array, Array]:
    """Differences of losses over the distance between their points, and which of them are usable.

    A slope is not usable, and 0, where a loss is not finite or ε is 0: one bad batch must change
    neither parameters nor moments, and a schedule of ε may end at 0.

    Args:
      differences: [...], taken in the losses' own width.
      distance: float32 []: 2ε, ε, or 1 for slopes that are measured as they are.

    Returns:
      float32 [...] and bool [...].
    """
    usable = jnp.isfinite(differences) & (distance != 0)
    safe = jnp.where(distance != 0, distance, jnp.ones_like(distance)).astype(differences.dtype)
    slopes = (jnp.where(usable, differences, jnp.zeros_like(differences)) / safe).astype(
        jnp.float32
    )
    usable &= jnp.isfinite(slopes)
    return jnp.where(usable, slopes, 0.0), usable


def _scores(losses: Array, rule: LossRule) -> Array:
    """What a rule makes of losses [q, ends]; NaN along a direction of which one is not finite."""
    usable = jnp.broadcast_to(jnp.isfinite(losses).all(axis=1, keepdims=True), losses.shape)
    scores: Any
    scores, _ = rule.update(losses.reshape(-1), optax.EmptyState(), None, usable=usable.reshape(-1))
    return jnp.where(usable, rounded_loss(scores.reshape(losses.shape)), jnp.nan)


def _centred(losses: Array) -> Array:
    """Differences from the mean of the losses that are finite, times n/(n − 1): unbiased."""
    finite = jnp.isfinite(losses)
    number = jnp.sum(finite, dtype=losses.dtype)
    mean = jnp.sum(jnp.where(finite, losses, 0)) / jnp.maximum(number, 1)
    differences = rounded_loss(losses - mean) * (number / jnp.maximum(number - 1, 1))
    # A single loss has no mean of others to compare with.
    return jnp.where(finite & (number > 1), differences, jnp.nan)


def mean_loss(losses: Array) -> Array:
    """The ``value`` of a step, float32 []: not finite where one of its losses is not."""
    # Not a mean, whose division would be an operation of its own.
    return jnp.sum(losses * (1.0 / losses.size)).astype(jnp.float32)

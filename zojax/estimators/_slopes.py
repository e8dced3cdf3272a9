"""Slopes from losses: the one place where a difference of losses is divided by ε."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from zojax._meter import Measured
from zojax._types import Array, Difference, Evaluation
from zojax.directions import Draws
from zojax.streaming import Loss, Noises, losses_at, rounded_loss


def guarded_slopes(differences: Array, distance: Array) -> tuple[Array, Array]:
    """Differences of losses over the distance between their points, and which of them are usable.

    A slope is not usable, and 0, where a loss is not finite or ε is 0: one bad batch must reach
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


def central_slopes(losses: Array, eps: Array) -> tuple[Array, Array]:
    """Slopes between θ + εz and θ - εz.

    Args:
      losses: [2q]: at both ends of each direction, one direction after the other.
      eps: float32 []: ε.

    Returns:
      As :func:`guarded_slopes`, [q].
    """
    plus, minus = losses.reshape(-1, 2).T
    return guarded_slopes(plus - minus, 2.0 * eps)


def measure_slopes(
    loss: Loss,
    noises: Callable[[Draws, Any], Noises],
    draws: Draws,
    eps: Array,
    evaluation: Evaluation,
    *,
    difference: Difference = "central",
    batched: bool = False,
) -> Measured:
    """The slopes of a loss along the directions of a step.

    Args:
      loss: What :func:`zojax.streaming.loss_at` gives.
      noises: ``noises(draws, i)``: the undrawn direction of point i.
      draws: Those of the q queries.
      eps: float32 []: ε.
      evaluation: As in :func:`zojax.streaming.loss_at`.
      difference: ``"central"``, or ``"forward"``: between θ + εz and θ.
      batched: All points in one pass rather than one after the other.
    """
    num_queries = len(draws.words)
    if difference == "central":
        points, scales = draws.repeated(2), jnp.tile(jnp.stack([eps, -eps]), num_queries)
        losses, aux = losses_at(
            lambda i: loss(noises(points, i), scales[i]),
            2 * num_queries,
            evaluation,
            batched=batched,
        )
        return Measured(*central_slopes(losses, eps), mean_loss(losses), aux)
    base, aux = loss([None] * len(draws.shapes), eps)
    base = rounded_loss(base)
    ahead = draws.repeated(1).after(base)
    losses, _ = losses_at(
        lambda i: loss(noises(ahead, i), eps), num_queries, evaluation, batched=batched
    )
    value = mean_loss(jnp.append(losses, base))
    return Measured(*guarded_slopes(losses - base, eps), value, aux)


def mean_loss(losses: Array) -> Array:
    """What a state tells of a step, float32 []: not finite where one of its losses is not."""
    return jnp.mean(losses).astype(jnp.float32)

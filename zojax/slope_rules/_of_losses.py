"""Slope rules that score the losses of a step, before slopes are made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from zojax._types import Array


class LossRule(optax.GradientTransformationExtraArgs):
    """A slope rule that an estimator applies to its losses, and not to their differences.

    A score says where a loss stands among all of the step's, so a pair's two scores cannot be told
    from its slope. The slope is then (score₊ − score₋)/2, or the score itself where losses are
    taken at one end alone: no ε divides it. It is what a log records.
    """


def of_losses(score: Callable[[Array, Array], Array]) -> LossRule:
    """A rule of losses.

    Args:
      score: ``score(losses, usable)``, [p] and bool [p], gives [p] of the losses' dtype; what it
        gives where a loss is not usable does not matter.
    """

    def update(
        losses: Any, state: Any, params: Any = None, *, usable: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        del params, extra_args
        usable = jnp.ones(losses.shape, bool) if usable is None else usable
        return jnp.where(usable, score(losses, usable), jnp.zeros_like(losses)), state

    return LossRule(lambda _: optax.EmptyState(), update)  # pyright: ignore[reportArgumentType]

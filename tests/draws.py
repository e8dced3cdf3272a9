"""The directions of a step, for tests that look at z itself."""

from typing import Any

import jax

import zojax
from zojax.streaming import Objective


def draws_at(
    direction: zojax.Direction, key: Any, count: Any, num_queries: int, params: Any
) -> zojax.directions.Draws:
    """The draws of a step of a direction that carries no state from step to step."""
    state = direction.init(params, num_queries)
    return direction.at_step(state, key, count, num_queries, params)[0]


def gradient(draws: zojax.directions.Draws, slopes: jax.Array, params: Any) -> Any:
    """What slopes along the draws say of the gradient, a tree like the parameters."""
    leaves, tree = jax.tree.flatten(params)
    return jax.tree.unflatten(tree, draws.gradient(slopes, leaves))


def loss_at(value_fn: Any, params: Any, evaluation: Any, **how: Any) -> Any:
    """``loss(noises, scale)`` at θ + scale·z, and its aux."""
    return Objective("test", value_fn, params).at(evaluation, **how)

"""The last link of a named optimizer: a step down the slope."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array, ScalarOrSchedule
from zojax.selection import part, whole


def descend(where: str, learning_rate: ScalarOrSchedule) -> optax.GradientTransformation:
    """``optax.scale_by_learning_rate``, whose updates leave the parameters' bits where they are 0.

    −0.0 + 0.0 is 0.0, and −0.0 is what leaves every number as it is. So it is the update where
    the learning rate is 0, and where a step's slope is: scaling alone would make it ±0.0, with
    the signs of the direction. The updates of integers stay integers, for a large one would be
    rounded on its way through a float.
    """
    _check.non_negative(where, "learning_rate", learning_rate)
    scaled = optax.scale_by_learning_rate(learning_rate)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        floating = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(updates)]
        moving = part(updates, floating)
        moving, state = scaled.update(moving, state, params)
        return whole(jax.tree.map(_signed, moving), floating, updates), state

    return optax.GradientTransformation(scaled.init, update)


def _signed(update: Array) -> Array:
    return jnp.where(update == 0, jnp.full_like(update, -0.0), update)

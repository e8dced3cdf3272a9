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
        moving, state = scaled.update(part(updates, floating), state, params)
        leaves, tree = jax.tree.flatten(moving)
        del moving
        # One by one, for outside of jit each scaled leaf is memory until its successor is there.
        for i, leaf in enumerate(leaves):
            leaves[i] = _signed(leaf)
        return whole(jax.tree.unflatten(tree, leaves), floating, updates), state

    return optax.GradientTransformation(scaled.init, update)


@jax.jit
def _signed(update: Array) -> Array:
    return jnp.where(update == 0, jnp.asarray(-0.0, update.dtype), update)

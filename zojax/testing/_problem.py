"""A small problem for the checks: a tree with leaves of several ranks, and a loss of it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax._types import Array, ValueFn


def parameters(dtype: Any = jnp.float32) -> dict[str, Any]:
    """Return a tree with a matrix and a nested list of a vector and a scalar.

    Args:
      dtype: Dtype of every leaf.

    Returns:
      ``{"matrix": [8, 4], "nested": [[8], []]}``: 41 normally distributed numbers, the same at each
      call.
    """
    keys = jax.random.split(jax.random.key(7), 3)
    return {
        "matrix": jax.random.normal(keys[0], (8, 4), dtype),
        "nested": [jax.random.normal(keys[1], (8,), dtype), jax.random.normal(keys[2], (), dtype)],
    }


def loss(params: Any) -> Array:
    """Half the squared norm of all leaves, float32 []; its gradient is ``params``."""
    squares = [jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(params)]
    return 0.5 * jnp.sum(jnp.stack(squares))


def step_with(tx: optax.GradientTransformation, value_fn: ValueFn = loss) -> Any:
    """Make the training step of an optimizer, which may be compiled by ``jit`` or not.

    Args:
      tx: The optimizer, whose ``update`` takes ``value_fn``.
      value_fn: The loss as a function of the parameters.

    Returns:
      ``step(params, state) -> (params, state)``.
    """
    transformation = optax.with_extra_args_support(tx)

    def step(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = transformation.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=value_fn,
        )
        return optax.apply_updates(params, updates), state

    return step

"""Rules of optax whose state must be more precise than the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax._types import Array


def in_float32(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The rule with its state and its arithmetic in float32, whatever the parameters' dtype.

    optax's moments have the parameters' dtype. In bfloat16 a decay of 0.999 is 1, and a moving
    average that never forgets is none.

    Args:
      rule: A link that maps updates to updates.

    Returns:
      A link whose updates have the dtypes of those that it is given.

    Cost: the rule's, with float32 buffers; nothing where the parameters are float32.
    """
    inner = optax.with_extra_args_support(rule)

    def init(params: Any) -> Any:
        return inner.init(jax.tree.map(_wide, params))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        # optax takes powers of integer counts, which strict settings of JAX refuse.
        with jax.numpy_dtype_promotion("standard"):
            wide, state = inner.update(jax.tree.map(_wide, updates), state, params, **extra_args)
        return jax.tree.map(lambda x, like: x.astype(like.dtype), wide, updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def _wide(x: Array) -> Array:
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)

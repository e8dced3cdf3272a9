"""Rules of optax whose state must be more precise than the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from zojax._types import Array


def in_float32(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The rule with its state and its arithmetic in float32, whatever the parameters' dtype.

    optax's moments have the parameters' dtype. In bfloat16 a decay of 0.999 rounds to 1,
    and the moving average would never forget.

    Args:
      rule: A link that maps updates to updates, and starts from the parameters' shapes alone.

    Returns:
      A link whose updates have the dtypes of those that it is given.

    Cost: the rule's, with float32 buffers; nothing where the parameters are float32. The
      parameters are not copied, neither to start nor to step.
    """
    inner = optax.with_extra_args_support(rule)

    def init(params: Any) -> Any:
        return inner.init(jax.tree.map(_shape, params))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        # optax takes powers of integer counts, which strict settings of JAX refuse.
        with jax.numpy_dtype_promotion("standard"):
            wide, state = inner.update(jax.tree.map(_wide, updates), state, params, **extra_args)
        return jax.tree.map(lambda x, like: x.astype(like.dtype), wide, updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def _wide(x: Array) -> Array:
    return x.astype(_wide_dtype(x))


def _wide_dtype(x: Any) -> Any:
    return jnp.float64 if jnp.result_type(x) == jnp.float64 else jnp.float32


def _shape(parameter: Any) -> Any:
    """A float32 stand-in for the parameter, from which a rule makes zeros of its shape.

    Outside of jit a float32 copy of the model would be real memory.
    """
    if isinstance(parameter, Tracer):
        # Nothing reads its values, so it is never computed; it carries the parameter's sharding.
        return _wide(parameter)
    committed = getattr(parameter, "committed", False)
    return jax.ShapeDtypeStruct(
        jnp.shape(parameter),
        _wide_dtype(parameter),
        sharding=parameter.sharding if committed else None,
    )

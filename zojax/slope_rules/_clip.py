"""Slopes cut to a range."""

from typing import Any

import jax.numpy as jnp
import optax

from zojax import _check
from zojax._types import Array


def clip(max_slope: float = 100.0) -> optax.GradientTransformation:
    r"""Cuts each slope to [−C, C].

    .. math:: d_i \leftarrow \min(\max(d_i, -C), C)

    Args:
      max_slope: C > 0, in the loss's unit over the parameters'.

    Returns:
      A transformation of float32 [q]; no state.

    Raises:
      ValueError: ``max_slope`` is not positive.

    References:
      QZO, arXiv:2505.13430, which takes C = 100.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> rule = zojax.slope_rules.clip(2.0)
      >>> rule.update(jnp.array([3.0, -0.5]), rule.init(None))[0].tolist()
      [2.0, -0.5]
    """
    _check.positive("clip", "max_slope", max_slope)

    def update(slopes: Array, state: Any, params: Any = None) -> tuple[Array, Any]:
        del params
        return jnp.clip(slopes, -max_slope, max_slope), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update)  # pyright: ignore[reportArgumentType]

"""The sign of each slope."""

from typing import Any

import jax.numpy as jnp
import optax

from zojax._types import Array


def sign() -> optax.GradientTransformation:
    r"""Replaces each query's slope by its sign.

    .. math:: d_i \leftarrow \mathrm{sign}(d_i)

    The code released with arXiv:2402.11592 steps so where the paper takes the sign of the whole
    gradient, as :func:`zojax.zo_sgd_sign` does.

    Returns:
      A transformation of float32 [q]; no state.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> rule = zojax.slope_rules.sign()
      >>> rule.update(jnp.array([3.0, -0.1, 0.0]), rule.init(None))[0].tolist()
      [1.0, -1.0, 0.0]
    """

    def update(slopes: Array, state: Any, params: Any = None) -> tuple[Array, Any]:
        del params
        return jnp.sign(slopes), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update)  # pyright: ignore[reportArgumentType]

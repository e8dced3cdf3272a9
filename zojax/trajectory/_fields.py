"""Which scalars the steps of an optimizer record."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from zojax._meter import Kind, Measure, Measured
from zojax._types import Array, Params
from zojax.trajectory._meters import Field


def record_fields(tx: optax.GradientTransformation, params: Params) -> tuple[Field, ...]:
    """The fields of a step's record, for the header of a log.

    Args:
      tx: An optimizer of zojax.
      params: The parameters, or their shapes and dtypes.

    Cost: traces an update; no loss is evaluated and nothing compiled.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> tx = zojax.mezo(1e-3, eps=1e-3, key=0, num_queries=4)
      >>> zojax.trajectory.record_fields(tx, {"w": jnp.ones(3)})
      (Field(kind='slopes', size=4),)
    """
    found: list[Field] = []

    def meter(kind: Kind, size: int, measure: Measure) -> Measured:
        del measure
        found.append(Field(kind, size))
        return Measured(jnp.zeros(size, jnp.float32), jnp.zeros(size, bool), jnp.float32(jnp.nan))

    def update(params: Params) -> Any:
        state = tx.init(params)
        transformation = optax.with_extra_args_support(tx)
        return transformation.update(
            None,  # pyright: ignore[reportArgumentType] - an estimator needs no gradient
            state,
            params,
            value_fn=_no_loss,
            meter=meter,
        )

    jax.eval_shape(update, params)
    return tuple(found)


def _no_loss(params: Params) -> Array:
    del params
    return jnp.zeros((), jnp.float32)

"""What an update measures, noted while it trains and given back while it is replayed."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from zojax._meter import Kind, Measure, Measured


class Field(NamedTuple):
    """Scalars of one kind in a step's record."""

    kind: Kind
    size: int  # how many


class Recorder:
    """Notes the scalars of an update; give it to ``update`` as ``meter``, a new one each time.

    Args:
      dtype: Of the log. Slopes are rounded to it before they are used, so that the log has what
        the update had.
    """

    def __init__(self, dtype: str = "float32") -> None:
        self._dtype = dtype
        self._taken: list[Array] = []
        self.fields: list[Field] = []

    @property
    def scalars(self) -> Array:
        """float32 [k]: all that the update needed besides keys; NaN where nothing was usable."""
        return jnp.concatenate([jnp.zeros(0, jnp.float32), *self._taken])

    def __call__(self, kind: Kind, size: int, measure: Measure) -> Measured:
        """Measure and note."""
        scalars, value = measure()
        if kind == "slopes":
            scalars = scalars.astype(self._dtype).astype(jnp.float32)
            usable = jnp.all(jnp.isfinite(scalars)) & jnp.isfinite(value)
            scalars = jnp.where(usable, scalars, jnp.nan)
        self.fields.append(Field(kind, size))
        self._taken.append(scalars)
        return _usable(kind, scalars), value


class Player:
    """Gives scalars back to an update; give it to ``update`` as ``meter``.

    Args:
      scalars: float32 [k]: those of one step, as a :class:`Recorder` noted them.
    """

    def __init__(self, scalars: Array) -> None:
        self._left = scalars

    def __call__(self, kind: Kind, size: int, measure: Measure) -> Measured:
        """Give back, and measure nothing."""
        del measure
        scalars, self._left = self._left[:size], self._left[size:]
        return _usable(kind, scalars), jnp.full((), jnp.nan, jnp.float32)


def _usable(kind: Kind, scalars: Array) -> Array:
    """Slopes that are not finite count as 0, so that they reach neither parameters nor moments."""
    if kind != "slopes":
        return scalars
    return jnp.where(jnp.all(jnp.isfinite(scalars)), scalars, 0.0)

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
      dtype: Of the log. Slopes are rounded to it, and a loss to float32, before they are used, so
        that the log has what the update had.
    """

    def __init__(self, dtype: str = "float32") -> None:
        self._dtype = dtype
        self._taken: list[Array] = []
        self.fields: list[Field] = []

    @property
    def scalars(self) -> Array:
        """float32 [k]: all that the update needed besides keys; NaN where it was not usable."""
        return jnp.concatenate([jnp.zeros(0, jnp.float32), *self._taken])

    def __call__(self, kind: Kind, size: int, measure: Measure) -> Measured:
        """Measure and note."""
        found = measure()
        log_dtype = self._dtype if kind == "slopes" else jnp.float32
        found = found._replace(scalars=found.scalars.astype(log_dtype).astype(jnp.float32))
        self.fields.append(Field(kind, size))
        self._taken.append(jnp.where(found.usable, found.scalars, jnp.nan))
        return found


class Player:
    """Gives scalars back to an update; give it to ``update`` as ``meter``.

    Args:
      scalars: float32 [k]: those of one step, as a :class:`Recorder` noted them.
    """

    def __init__(self, scalars: Array) -> None:
        self._left = scalars

    def __call__(self, kind: Kind, size: int, measure: Measure) -> Measured:
        """Give back, and measure nothing.

        Raises:
          ValueError: The log has fewer scalars than the update asks for.
        """
        del measure
        if size > len(self._left):
            raise ValueError(
                f"replay: the update needs {size} of kind {kind!r}, and the log has "
                f"{len(self._left)} more a step. Give the optimizer of the run, with as many queries."
            )
        scalars, self._left = self._left[:size], self._left[size:]
        usable = jnp.isfinite(scalars)
        unknown = jnp.full((), jnp.nan, jnp.float32)
        return Measured(jnp.where(usable, scalars, 0.0), usable, unknown)

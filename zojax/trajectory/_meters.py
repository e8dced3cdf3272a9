"""Meters: record the scalars that an update measures, and play them back in a replay."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from zojax._meter import Kind, Measure, Measured


class Field(NamedTuple):
    """Scalars of one kind in a step's record: what one link of the optimizer measures.

    A header lists the fields of all links, in the order of the chain. :attr:`Recorder.fields` has
    them after an update.

    Attributes:
      kind: What the scalars are, and with that how they are stored. ``"slopes"``: what the gradient
        is made of, a number for each query (block of ``blockwise``, parameter of
        ``coordinatewise``), in the log's dtype. ``"loss"``: the loss of ``one_point``, float32.
        ``"sign"``: which candidate ``conservative`` took, -1, 0 or 1, in one byte.
      size: How many scalars.
    """

    kind: Kind
    size: int


class Recorder:
    """Records the scalars of one update; pass a new one to each ``update`` as ``meter``.

    Args:
      dtype: The log's dtype. Slopes are rounded to it, and losses to float32, before the update
        uses them, so that a replay uses the same values.

    Attributes:
      fields: What the update has measured so far, for a log's header: a list of :class:`Field`,
        known once the update is traced, be it by ``jax.eval_shape``.
      scalars: float32 [k]: the measured scalars in that order, which are the step's record; NaN
        where one is not finite.
    """

    def __init__(self, dtype: str = "float32") -> None:
        self._dtype = dtype
        self._recorded: list[Array] = []
        self.fields: list[Field] = []

    @property
    def scalars(self) -> Array:
        """All that the update needed besides keys."""
        return jnp.concatenate([jnp.zeros(0, jnp.float32), *self._recorded])

    def __call__(self, kind: Kind, size: int, measure: Measure) -> Measured:
        """Measure scalars and record them."""
        found = measure()
        log_dtype = self._dtype if kind == "slopes" else jnp.float32
        found = found._replace(scalars=found.scalars.astype(log_dtype).astype(jnp.float32))
        self.fields.append(Field(kind, size))
        self._recorded.append(jnp.where(found.usable, found.scalars, jnp.nan))
        return found


class Player:
    """Gives recorded scalars to an update instead of measuring; pass it to ``update`` as ``meter``.

    Args:
      scalars: float32 [k]: the scalars of one step, as a :class:`Recorder` recorded them.
    """

    def __init__(self, scalars: Array) -> None:
        self._remaining = scalars

    def __call__(self, kind: Kind, size: int, measure: Measure) -> Measured:
        """Return the next recorded scalars.

        Raises:
          ValueError: The log has fewer scalars than the update asks for.
        """
        del measure
        if size > len(self._remaining):
            raise ValueError(
                f"replay: the update needs {size} of kind {kind!r}, and the log has "
                f"{len(self._remaining)} more a step. Give the optimizer of the run, with as many "
                f"queries."
            )
        scalars, self._remaining = self._remaining[:size], self._remaining[size:]
        usable = jnp.isfinite(scalars)
        unknown = jnp.full((), jnp.nan, jnp.float32)
        return Measured(jnp.where(usable, scalars, 0.0), usable, unknown)

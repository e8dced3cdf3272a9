"""What takes the place of a step's losses: to list its points, to reach one, and to tell them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from zojax._asking import Ends
from zojax._types import Array
from zojax.asking._point import Row


class Listing:
    """Notes which rows of losses an update asks for."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __call__(self, ends: Ends, queries: int, loss_of: Callable[[Any], Any]) -> Array:
        del loss_of
        self.rows.append(Row(ends.eps, ends.sides, ends.first, queries))
        return jnp.zeros(queries * len(ends.sides), jnp.float32)


class Reaching:
    """Has ``value_fn`` called at one point.

    Args:
      row: The number of its row.
      index: Its place in the row, an int or int32 [].
    """

    def __init__(self, row: int, index: int | Array) -> None:
        self._row, self._index = row, index

    def __call__(self, ends: Ends, queries: int, loss_of: Callable[[Any], Any]) -> Array:
        if self._row == 0:
            loss_of(self._index)
        self._row -= 1
        return jnp.zeros(queries * len(ends.sides), jnp.float32)


class Telling:
    """Gives the losses of all points.

    Args:
      losses: [p], in the order in which the update asks for them.
    """

    def __init__(self, losses: Array) -> None:
        self._left = losses

    def __call__(self, ends: Ends, queries: int, loss_of: Callable[[Any], Any]) -> Array:
        del loss_of
        size = queries * len(ends.sides)
        losses, self._left = self._left[:size], self._left[size:]
        return losses

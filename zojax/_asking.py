"""Losses that an update does not evaluate: it says which points they are of, and is given them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from zojax._types import Array


class Ends(NamedTuple):
    """The points of a row of losses: all ends of a query, one query after the other."""

    sides: tuple[int, ...]  # the ends: 1 for θ + εz, -1 for θ − εz, 0 for θ
    eps: Array  # float32 []
    first: int = 0  # the number of the first query


class Asking(Protocol):
    """Takes the place of a step's losses.

    Given to ``update`` as the extra argument ``asking``, it is called for every row of losses, in
    the order in which the update needs them; ``value_fn`` is not evaluated.
    """

    def __call__(self, ends: Ends, queries: int, loss_of: Callable[[Any], Any]) -> Array:
        """Give the losses.

        Args:
          ends: Which points they are of.
          queries: How many queries.
          loss_of: From the number of a point to what ``value_fn`` gives there: it is handed the
            parameters with a :class:`zojax.streaming.Moved` in place of each leaf that is.

        Returns:
          float32 or float64 [queries · number of ends]; NaN where there is none.
        """
        ...

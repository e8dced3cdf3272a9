"""A point at which a loss is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax

from zojax._types import Array, Params
from zojax.asking._adapter import Adapter

PointData: TypeAlias = tuple[int, int, int, float]
"""step, query, side and scale of a :class:`Point`: a point as it is sent and written."""


class Place(NamedTuple):
    """Where a point lies: among the rows of losses that an update of a state asks for."""

    params: Callable[..., Params]  # (state, params, index, row) -> parameters
    adapter: Callable[..., Adapter]  # likewise
    state: Any  # of the optimizer, before the step
    row: int  # the number of its row of losses
    at: int  # and its place in it


@dataclasses.dataclass(frozen=True)
class Point:
    """A point of a step: θ + side·scale·z of a query.

    Points are equal where these four numbers are. They are all that another process needs which
    has the same state of the optimizer: it finds the point among those that ``ask`` gives there.

    Attributes:
      step: The number of the step, from 0.
      query: The number of z among the step's.
      side: 1, -1, or 0 for θ itself.
      scale: ε.
    """

    step: int
    query: int
    side: int
    scale: float
    place: Place = dataclasses.field(repr=False, compare=False)

    @property
    def data(self) -> PointData:
        """The four numbers."""
        return self.step, self.query, self.side, self.scale

    def params(self, params: Params) -> Params:
        """The parameters at the point.

        They have the bits of those at which ``evaluation="copy"`` evaluates ``value_fn``.

        Args:
          params: θ, that ``ask`` got; it is not changed.

        Cost: a copy of the parameters; compiled at the first point of an optimizer.
        """
        _, _, state, row, at = self.place
        return self.place.params(state, params, at, row)

    def adapter(self, params: Params) -> Adapter:
        """What the point adds to the parameters, as thin factors of every matrix.

        W + a·b is :meth:`params` to rounding. In a subspace it includes what the coordinates have
        gathered since W₀, that is ``params``.

        Args:
          params: θ, that ``ask`` got: paths and shapes are read, and what the direction reads.

        Returns:
          Factors of each matrix. What is added to leaves of one axis, biases and norms, stands
          beside them, for an adapter of matrices alone cannot hold it:
          ``zojax.select(tx, ...)`` leaves them out.

        Cost: r(m + n) numbers a matrix of m × n.

        Raises:
          ValueError: A matrix moves along a direction of full rank.
        """
        _, _, state, row, at = self.place
        return self.place.adapter(state, params, at, row)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Row:
    """A row of losses that an update asks for: see :class:`zojax._asking.Ends`."""

    eps: Array
    sides: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    first: int = dataclasses.field(metadata={"static": True})
    queries: int = dataclasses.field(metadata={"static": True})

    def places(self) -> list[tuple[int, int]]:
        """Query and side of each point."""
        return [(self.first + q, side) for q in range(self.queries) for side in self.sides]

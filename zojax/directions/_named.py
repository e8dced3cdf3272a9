"""Directions by name, the same in the library and on the command line."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from zojax import _check
from zojax.directions._direction import Direction
from zojax.directions._gaussian import Gaussian
from zojax.directions._low_rank import LowRank
from zojax.directions._rademacher import Rademacher
from zojax.directions._sphere import Sphere

DirectionName: TypeAlias = Literal["gaussian", "rademacher", "sphere", "low_rank"]
DirectionLike: TypeAlias = Direction | DirectionName

DIRECTIONS: Mapping[DirectionName, Direction] = {
    "gaussian": Gaussian(),
    "rademacher": Rademacher(),
    "sphere": Sphere(),
    "low_rank": LowRank(),
}


def direction_of(where: str, direction: DirectionLike, argument: str = "direction") -> Direction:
    """A direction, given as one or by its name; ``argument`` is what it was given as.

    Raises:
      ValueError: There is none of that name.
      TypeError: It is something else.
    """
    if isinstance(direction, str):
        _check.one_of(where, argument, direction, DIRECTIONS)
        return DIRECTIONS[direction]
    _check.instance(where, argument, direction, Direction)
    return direction

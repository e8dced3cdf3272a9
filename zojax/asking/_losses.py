"""The losses that are told, checked and put in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from zojax.asking._point import Point, PointData

Losses: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
"""Pairs of a :class:`Point`, or its data, and its loss; a mapping, or in any order."""


def in_order(points: Sequence[PointData], losses: Losses) -> np.ndarray:
    """The losses of points, in their order: float64 or float32 [p], NaN where there is none.

    Raises:
      ValueError: A loss is of another step, of no point of this one, told twice, or of 16 bits.
      TypeError: ``losses`` are no pairs, or a loss is not one real number.
    """
    places = {point: place for place, point in enumerate(points)}
    step = points[0][0]
    told: dict[int, Any] = {}
    for key, value in losses.items() if isinstance(losses, Mapping) else map(_pair, losses):
        point = _data(key)
        if point[0] != step:
            raise ValueError(
                f"tell: losses must be of step {step}, which the state is at, got one of step "
                f"{point[0]}. A step's losses are told once: drop what comes later, and ask again."
            )
        if point not in places:
            raise ValueError(
                f"tell: losses must be of the points that ask gives, got one of {point}; the first "
                f"is {points[0]}. Give the optimizer and the state of the run that asked."
            )
        if places[point] in told:
            raise ValueError(f"tell: losses must hold one of each point, got two of {point}.")
        told[places[point]] = _number(point, value)
    # As update does: differences are taken in the loss's own width.
    wide = any(np.result_type(value) == np.float64 for value in told.values())
    found = np.full(len(points), np.nan, np.float64 if wide else np.float32)
    for place, value in told.items():
        found[place] = value
    return found


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise TypeError(
            f"tell: losses must be a mapping from points to losses, or pairs (point, loss), got "
            f"{item!r} among them."
        )
    return item[0], item[1]


def _data(key: Any) -> PointData:
    if isinstance(key, Point):
        return key.data
    if isinstance(key, tuple | list) and len(key) == 4:
        step, query, side, scale = key
        if all(isinstance(x, int | np.integer) for x in (step, query, side)):
            return int(step), int(query), int(side), float(scale)
    raise TypeError(
        f"tell: losses must be told with their points, or a point's (step, query, side, scale), "
        f"got {key!r}."
    )


def _number(point: PointData, value: Any) -> Any:
    """A loss as a Python number or a numpy scalar of its own width; NaN for None."""
    if value is None:
        return np.float32(np.nan)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        real = jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        if value.shape == () and real:
            if jnp.issubdtype(value.dtype, jnp.floating) and jnp.finfo(value.dtype).bits < 32:
                raise ValueError(
                    f"tell: losses must have 32 bits or more, got {value.dtype} for {point}: "
                    f"those of two near points would be the same number. Give float32."
                )
            return np.asarray(value)[()]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value if math.isfinite(value) else np.nan
    raise TypeError(
        f"tell: losses must be real numbers, got {value!r} for {point}. Give None, or leave it "
        f"out, where there is none."
    )

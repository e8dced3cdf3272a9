"""The points of a step: one after the other, or shared out over the devices of an axis."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# Of the mesh, while a step is traced that shares its points.
_axis: ContextVar[str | None] = ContextVar("axis", default=None)


@contextlib.contextmanager
def points_shared_over(axis: str) -> Generator[None]:
    """Let the devices along ``axis`` share the points of a step that is traced meanwhile.

    Args:
      axis: A mesh axis that is manual there: the step is inside ``jax.shard_map``.
    """
    token = _axis.set(axis)
    try:
        yield
    finally:
        _axis.reset(token)


def map_points(function: Callable[[Any], Any], points: Any, *, batched: bool = False) -> Any:
    """``lax.map(function, points)``: what a step asks of its loss.

    Args:
      function: From a point to scalars; itself without ``map_points``.
      points: Arrays [p, …].
      batched: All points in one pass rather than one after the other.

    Returns:
      The results, [p] each. Where an axis is given by :func:`points_shared_over`, each of its D
      devices computes ⌈p/D⌉ of them, and one all-gather of scalars brings the others.
    """
    axis = _axis.get()
    count = len(jax.tree.leaves(points)[0])
    if axis is None or count == 1:
        return jax.vmap(function)(points) if batched else lax.map(function, points)
    turns = -(-count // lax.axis_size(axis))
    # Devices that are left over compute the last point, so that all take as many turns.
    own = jnp.minimum(lax.axis_index(axis) * turns + jnp.arange(turns), count - 1)
    mine = jax.tree.map(lambda x: x[own], points)
    results = jax.vmap(function)(mine) if batched else lax.map(function, mine)
    return jax.tree.map(lambda x: lax.all_gather(x, axis, tiled=True)[:count], results)

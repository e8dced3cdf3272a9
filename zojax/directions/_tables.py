"""What is little of a step's noise, computed for all leaves at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zojax._types import Array
from zojax.directions._alone import alone
from zojax.directions._counter import row_key, row_keys
from zojax.directions._noise import Row, from_keys
from zojax.directions._rounding import rounded

if TYPE_CHECKING:
    from zojax.directions._base import ElementwiseDirection


class Request(NamedTuple):
    """A row of a table that a leaf asks for: z of one of its rows, or the keys of them all."""

    leaf: int
    size: int  # of the row: the columns of z, or the number of keys
    row: int | None = None  # the one whose z is wanted; None for keys


def table_rows(
    direction: ElementwiseDirection,
    words: Array,
    requests: Sequence[Request],
    factor: Array | None,
) -> list[Row]:
    """The rows asked for, in tables that requests of one kind and size share.

    Args:
      direction: The distribution of z.
      words: uint32 [n, 2]: two random words for each leaf.
      requests: What the leaves ask for.
      factor: float32 []: scale of z, or None for 1.
    """
    groups: dict[tuple[bool, int], list[int]] = {}
    for position, request in enumerate(requests):
        groups.setdefault((request.row is None, request.size), []).append(position)
    tables = _tables(
        direction,
        tuple(tuple(requests[position] for position in group) for group in groups.values()),
        words,
        factor,
    )
    found: dict[int, Row] = {}
    for (are_keys, _), group, table in zip(groups, groups.values(), tables, strict=True):
        rows = [Row.at(table, position) for position in range(len(group))]
        # Hidden from the compiler, the positions stay data.
        found.update(zip(group, rows if are_keys else lax.optimization_barrier(rows), strict=True))
    return [found[position] for position in range(len(requests))]


# Compiled, so that a step outside of jit compiles the loop once and not every time.
@partial(jax.jit, static_argnums=(0, 1))
def _tables(
    direction: ElementwiseDirection,
    groups: tuple[tuple[Request, ...], ...],
    words: Array,
    factor: Array | None,
) -> list[Array]:
    """A table for each group, [requests, size]: z, float32, or keys, uint32."""

    def table(group: tuple[Request, ...], turn: Array) -> Array:
        size = group[0].size
        leaves = words[jnp.array([request.leaf for request in group]) + turn]
        if group[0].row is None:
            return jax.vmap(partial(row_keys, rows=size))(leaves)
        rows = np.array([request.row for request in group], np.uint32)
        z = from_keys(direction, row_key(leaves, jnp.asarray(rows)), (size,), (size,))
        return z if factor is None else rounded(z * factor)

    def fill(turn: Array, tables: list[Array]) -> list[Array]:
        del tables
        return [table(group, turn) for group in groups]

    return alone(
        fill,
        [
            jnp.zeros(
                (len(group), group[0].size), jnp.uint32 if group[0].row is None else jnp.float32
            )
            for group in groups
        ],
    )

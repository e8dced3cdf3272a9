"""Directions whose elements are independent, so that any part of z can be drawn alone."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zojax._types import Array
from zojax._xla import computed_once, opaque, rounded
from zojax.directions._counter import bits, key_words, leading_axes, row_key, row_keys
from zojax.directions._direction import Noises, SampledDirection, Shapes
from zojax.directions._noise import LeafNoise, Row


class ElementwiseDirection(SampledDirection):
    """A direction whose elements are independent and made from 32 random bits each.

    Such noise fuses into the operation that consumes it and can be drawn by rows, tiles and
    layers, so a streamed step never holds all of z.
    """

    @abc.abstractmethod
    def from_bits(self, bits: Array) -> Array:
        """Maps uniform uint32 [...] to float32 [...] of mean 0 and variance 1."""

    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        leading = shape[: leading_axes(shape)]
        keys = row_keys(key_words(key), math.prod(leading)).reshape(leading)
        return from_keys(self, keys, shape[len(leading) :], shape[len(leading) :])

    def noises(self, words: Array, shapes: Shapes, factor: Array | None = None) -> Noises:
        # Small arrays are computed at once, in one operation for all leaves of a kind: the keys of
        # the rows, and z of the vectors, of which a transformer has a dozen in each layer.
        floating = [leaf for leaf, shape in enumerate(shapes) if shape is not None]
        noises: list[LeafNoise | None] = [None] * len(shapes)
        rows = table_rows(
            self,
            words,
            [elementwise_request(leaf, shapes[leaf] or ()) for leaf in floating],
            factor,
        )
        for leaf, row in zip(floating, rows, strict=True):
            noises[leaf] = elementwise_noise(self, row, shapes[leaf] or (), factor)
        return noises


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ElementwiseNoise(LeafNoise):
    """z of one leaf, of independent elements.

    Attributes:
      keys: The keys of the leaf's rows, uint32.
      leading: The leading axes, which number the rows.
      direction: The distribution.
      factor: float32 []: scale common to all leaves, or None for 1.
    """

    keys: Row
    leading: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    direction: ElementwiseDirection = dataclasses.field(metadata={"static": True})
    factor: Array | None = None

    @property
    def random_access(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._of(self._keys(), shape[len(self.leading) :])

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        keys, held = self.keys.tied(values)
        return dataclasses.replace(self, keys=keys), held

    def in_loop(self, counter: Array) -> Self:
        return dataclasses.replace(self, keys=self.keys.in_loop(counter))

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        if self.leading:
            return self._of(self._keys()[rows], shape[len(self.leading) :])
        stride = jnp.uint32(math.prod(shape[1:]))
        return self._of(self._keys() + rows.astype(jnp.uint32) * stride, shape[1:])

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        keys, lead = self._keys(), len(self.leading)
        if axis < lead:
            keys = lax.dynamic_slice_in_dim(keys, first, size, axis)
            return self._of(keys, shape[lead:])
        keys += first.astype(jnp.uint32) * jnp.uint32(math.prod(shape[axis + 1 :]))
        part = (*shape[lead:axis], size, *shape[axis + 1 :])
        return self._of(keys, shape[lead:], part)

    def slices(self, shape: tuple[int, ...]) -> Array:
        if self.leading:
            return self._keys()
        stride = jnp.uint32(math.prod(shape[1:]))
        return self._keys() + jnp.arange(shape[0], dtype=jnp.uint32) * stride

    def slice(self, part: Array) -> ElementwiseNoise:
        return dataclasses.replace(self, keys=self.keys.replaced(part), leading=part.shape)

    def _keys(self) -> Array:
        return self.keys.value().reshape(self.leading)

    def _of(
        self, keys: Array, columns: tuple[int, ...], part: tuple[int, ...] | None = None
    ) -> Array:
        z = from_keys(self.direction, keys, columns, columns if part is None else part)
        return z if self.factor is None else rounded(z * self.factor)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StoredNoise(LeafNoise):
    """z of one leaf, already drawn, for leaves so small that z needs almost no memory.

    Attributes:
      z: float32 [size].
    """

    z: Row

    @property
    def random_access(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self.z.value().reshape(shape)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        return self, [*values]

    def in_loop(self, counter: Array) -> Self:
        del counter
        return self

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self.draw(shape)[rows]

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        return lax.dynamic_slice_in_dim(self.draw(shape), first, size, axis)

    def slices(self, shape: tuple[int, ...]) -> Array:
        return self.draw(shape)

    def slice(self, part: Array) -> StoredNoise:
        return StoredNoise(self.z.replaced(part))


def is_vector(shape: tuple[int, ...]) -> bool:
    """Whether a leaf is small, as biases and norms are, so that a copy of it costs little."""
    return len(shape) <= 1 and math.prod(shape) <= 2**16


def elementwise_request(leaf: int, shape: tuple[int, ...]) -> Request:
    """The row of the tables that a leaf's noise needs: z of a small vector, else its keys."""
    if is_vector(shape):
        return Request(leaf, math.prod(shape), row=0)
    return Request(leaf, math.prod(shape[: leading_axes(shape)]))


def elementwise_noise(
    direction: ElementwiseDirection, row: Row, shape: tuple[int, ...], factor: Array | None
) -> LeafNoise:
    """The noise of a leaf from the row that :func:`elementwise_request` asked for."""
    if is_vector(shape):
        return StoredNoise(row)
    return ElementwiseNoise(row, shape[: leading_axes(shape)], direction, factor)


# Compiled even if the caller is not: XLA contracts multiply-adds, so that eager evaluation would
# give z other last bits.
@partial(jax.jit, static_argnums=(0, 2, 3))
def from_keys(
    direction: ElementwiseDirection, keys: Array, columns: tuple[int, ...], part: tuple[int, ...]
) -> Array:
    """Draws z of some rows from their keys: see :func:`bits`."""
    return direction.from_bits(bits(keys, columns, part))


class Request(NamedTuple):
    """A row of a table that a leaf needs: z of one of its rows, or the keys of all."""

    leaf: int
    size: int  # of the row: the columns of z, or the number of keys
    row: int | None = None  # the one whose z is drawn; None for keys


def table_rows(
    direction: ElementwiseDirection,
    words: Array,
    requests: Sequence[Request],
    factor: Array | None,
) -> list[Row]:
    """The requested rows; requests of one kind and size share a table.

    Args:
      direction: The distribution of z.
      words: uint32 [n, 2]: two random words for each leaf.
      requests: One for each leaf.
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
        # The positions are hidden from the compiler, which would otherwise treat them as constants.
        found.update(zip(group, rows if are_keys else opaque(rows), strict=True))
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

    def table(group: tuple[Request, ...], counter: Array) -> Array:
        size = group[0].size
        leaves = words[jnp.array([request.leaf for request in group]) + counter]
        if group[0].row is None:
            return jax.vmap(partial(row_keys, rows=size))(leaves)
        rows = np.array([request.row for request in group], np.uint32)
        z = from_keys(direction, row_key(leaves, jnp.asarray(rows)), (size,), (size,))
        return z if factor is None else rounded(z * factor)

    def fill(counter: Array, tables: list[Array]) -> list[Array]:
        del tables
        return [table(group, counter) for group in groups]

    return computed_once(
        fill,
        [
            jnp.zeros(
                (len(group), group[0].size), jnp.uint32 if group[0].row is None else jnp.float32
            )
            for group in groups
        ],
    )

"""Directions whose elements are independent, so that any part of z can be drawn alone."""

from __future__ import annotations

import abc
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
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

    def stored(self) -> ElementwiseDirection:
        return _Stored(self)

    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        leading = shape[: leading_axes(shape)]
        keys = row_keys(key_words(key), math.prod(leading)).reshape(leading)
        return from_keys(self, keys, shape[len(leading) :], shape[len(leading) :])

    def noises(self, words: Array, shapes: Shapes, factor: Array | None = None) -> Noises:
        # Small arrays are computed at once, in one operation for all leaves: the keys of the rows,
        # and z of biases and norms, of which a transformer has a dozen in each layer.
        floating = {leaf: shape for leaf, shape in enumerate(shapes) if shape is not None}
        stored = self._stored_leaves(floating)
        requests = [
            elementwise_request(leaf, shape, stored=leaf in stored)
            for leaf, shape in floating.items()
        ]
        rows = table_rows(self, words, requests, factor)
        noises: list[LeafNoise | None] = [None] * len(shapes)
        for (leaf, shape), row in zip(floating.items(), rows, strict=True):
            is_z = leaf in stored
            noises[leaf] = StoredNoise(row) if is_z else keyed_noise(self, row, shape, factor)
        return noises

    def _stored_leaves(self, shapes: Mapping[int, tuple[int, ...]]) -> frozenset[int]:
        return stored_leaves(shapes)


@dataclasses.dataclass(frozen=True)
class _Stored(ElementwiseDirection):
    """Another direction, of which z is drawn at once for all leaves, and kept during a step."""

    direction: ElementwiseDirection

    def stored(self) -> ElementwiseDirection:
        return self

    def from_bits(self, bits: Array) -> Array:
        return self.direction.from_bits(bits)

    def factor(self, leaves: Sequence[tuple[LeafNoise, tuple[int, ...]]]) -> Array | None:
        return self.direction.factor(leaves)

    def _stored_leaves(self, shapes: Mapping[int, tuple[int, ...]]) -> frozenset[int]:
        return frozenset(shapes)


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


STORED_SHARE = 1 / 1024


def stored_leaves(shapes: Mapping[int, tuple[int, ...]]) -> frozenset[int]:
    """The leaves whose z is kept during a forward pass, since it needs almost no memory.

    These are the vectors, and of the others the smallest that have a thousandth of all elements
    together: the biases and norms of stacked layers.

    Args:
      shapes: Of the leaves that move, by their place.
    """
    sizes = {leaf: math.prod(shape) for leaf, shape in shapes.items()}
    left = int(STORED_SHARE * sum(sizes.values()))
    stored = {leaf for leaf, shape in shapes.items() if is_vector(shape)}
    for leaf in sorted(sizes.keys() - stored, key=sizes.__getitem__):
        left -= sizes[leaf]
        if left < 0:
            break
        stored.add(leaf)
    return frozenset(stored)


def elementwise_request(leaf: int, shape: tuple[int, ...], *, stored: bool) -> Request:
    """What a leaf's noise needs from the tables: all of its z, or the keys of its rows."""
    lead = leading_axes(shape)
    columns = math.prod(shape[lead:])
    return Request(leaf, math.prod(shape[:lead]), columns if stored else None)


def keyed_noise(
    direction: ElementwiseDirection, row: Row, shape: tuple[int, ...], factor: Array | None
) -> ElementwiseNoise:
    """The noise of a leaf whose keys are in a table."""
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
    """What a leaf needs from a table: the keys of some rows, or their z."""

    leaf: int
    rows: int
    columns: int | None  # of z; None for keys
    first: int = 0  # the first row

    @property
    def size(self) -> int:
        """How many numbers it needs."""
        return self.rows * (1 if self.columns is None else self.columns)


LONG = 2**14
"""The longest row of z has a table of its own from this size, if no other is as long.

A table is kept until its last row is read. The longest is that of an embedding, which is read last
where it is the head as well, beside logits that need most of a step's memory.
"""


FEW = 16
"""So many rows of z, those of stacked layers, begin at constants: they are read without a kernel.

Draws of more of them, those of layers one by one, share kernels.
"""


def _table_of(requests: Sequence[Request]) -> list[str]:
    """The table of each request."""
    sizes = sorted(r.size for r in requests if r.columns is not None)
    alone = sizes[-1] if sizes and sizes.count(sizes[-1]) == 1 else math.inf
    return [
        "keys" if r.columns is None else "longest" if r.size == alone >= LONG else "z"
        for r in requests
    ]


def table_rows(
    direction: ElementwiseDirection,
    words: Array,
    requests: Sequence[Request],
    factor: Array | None,
) -> list[Row]:
    """What is requested: uint32 [rows] keys, or float32 [rows·columns] z.

    Args:
      direction: The distribution of z.
      words: uint32 [n, 2]: two random words for each leaf.
      requests: In any order.
      factor: float32 []: scale of z, or None for 1.
    """
    # Those of equal sizes lie side by side, and are computed as one array.
    order = sorted(range(len(requests)), key=lambda i: (requests[i].rows, requests[i].columns or 0))
    tables = _tables(direction, tuple(requests[i] for i in order), words, factor)
    starts = dict.fromkeys(tables, 0)
    found: dict[int, Row] = {}
    kinds = _table_of(requests)
    for i in order:
        kind, size = kinds[i], requests[i].size
        found[i] = Row.at(tables[kind], starts[kind], size)
        starts[kind] += size
    stored = [i for i in order if requests[i].columns is not None]
    if len(stored) > FEW:
        # The starts are hidden from the compiler, which would otherwise treat them as constants.
        for i, start in zip(stored, opaque([found[i].start for i in stored]), strict=True):
            found[i] = dataclasses.replace(found[i], start=start)
    return [found[i] for i in range(len(requests))]


# Compiled, so that a step outside of jit compiles the loop once and not every time.
@partial(jax.jit, static_argnums=(0, 1))
def _tables(
    direction: ElementwiseDirection,
    requests: tuple[Request, ...],
    words: Array,
    factor: Array | None,
) -> dict[str, Array]:
    """The requested keys, uint32 [n], and the requested z, float32 [m], one after the other."""
    tables: dict[str, list[list[Request]]] = {}
    # Runs of equal requests, which are in one table.
    kinds = dict(zip(requests, _table_of(requests), strict=True))
    for _, run in itertools.groupby(requests, lambda r: (kinds[r], r.rows, r.columns)):
        group = list(run)
        tables.setdefault(kinds[group[0]], []).append(group)

    def keys(groups: list[list[Request]], counter: Array) -> Array:
        """Those of the rows, one after the other; of all groups in one operation."""
        leaves = np.array([request.leaf for group in groups for request in group])
        of_leaves = words.at[leaves + counter].get(mode="promise_in_bounds")
        parts, first = [], 0
        for group in groups:
            parts.append(_words_and_rows(group, of_leaves[first : first + len(group)]))
            first += len(group)
        pairs, rows = (jnp.concatenate(part) for part in zip(*parts, strict=True))
        return row_key(pairs, rows)

    def z(groups: list[list[Request]], counter: Array) -> Array:
        flat, parts = keys(groups, counter), []
        for group in groups:
            size = len(group) * group[0].rows
            columns = jnp.arange(group[0].columns, dtype=jnp.uint32)
            parts.append((flat[:size, None] + columns[None]).reshape(-1))
            flat = flat[size:]
        z = from_keys(direction, jnp.concatenate(parts), (), ())
        return z if factor is None else rounded(z * factor)

    def fill(counter: Array, empty: dict[str, Array]) -> dict[str, Array]:
        return {kind: (keys if kind == "keys" else z)(tables[kind], counter) for kind in empty}

    def empty(kind: str, groups: list[list[Request]]) -> Array:
        size = sum(request.size for group in groups for request in group)
        # Not lax.empty: with it OPT-13B, folded in the update, needs a copy of its embedding.
        return jnp.zeros(size, jnp.uint32 if kind == "keys" else jnp.float32)

    return computed_once(fill, {kind: empty(kind, groups) for kind, groups in tables.items()})


def _words_and_rows(group: list[Request], words: Array) -> tuple[Array, Array]:
    """The words, uint32 [n, 2], and the numbers, uint32 [n], of the rows of equal requests."""
    rows, first = group[0].rows, np.array([[request.first] for request in group], np.uint32)
    numbers = jnp.arange(rows, dtype=jnp.uint32)[None] + first
    return jnp.repeat(words, rows, axis=0), numbers.reshape(-1)

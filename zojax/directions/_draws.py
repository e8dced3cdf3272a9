"""The directions of one step: every query's undrawn z for every leaf."""

import dataclasses
import math
from functools import partial
from typing import Self, cast

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array, Params
from zojax.directions._alone import alone
from zojax.directions._base import Direction, ElementwiseDirection, from_keys
from zojax.directions._counter import leading_axes, row_keys
from zojax.directions._keys import leaf_words
from zojax.directions._noise import DrawnNoise, LeafNoise, Noise, Row, WholeNoise
from zojax.directions._rounding import rounded


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Draws:
    """What picks the directions z_0 … z_{q-1} of a step.

    Attributes:
      words: uint32 [q, n, 2]: two random words for each query and leaf.
      factors: float32 [q]: the scale common to all leaves of a query, or None for 1.
      direction: The distribution of z.
      shapes: The shape of each leaf that moves; None for one that does not (integers).
    """

    words: Array
    factors: Array | None
    direction: Direction = dataclasses.field(metadata={"static": True})
    shapes: tuple[tuple[int, ...] | None, ...] = dataclasses.field(metadata={"static": True})

    @classmethod
    def at_step(
        cls, direction: Direction, key: Array, count: Array, num_queries: int, params: Params
    ) -> "Draws":
        """The draws of a step: a function of key, step, query and path alone.

        Args:
          direction: The distribution of z.
          key: Typed key [].
          count: int32 []: the step.
          num_queries: q.
          params: Parameters; only their paths, shapes and dtypes are read.
        """
        shapes = tuple(
            jnp.shape(leaf) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else None
            for leaf in jax.tree.leaves(params)
        )
        draws = cls(leaf_words(key, count, num_queries, params), None, direction, shapes)
        return dataclasses.replace(draws, factors=_factors(draws))

    def query(self, index: int | Array) -> list[LeafNoise | None]:
        """The undrawn z of query ``index`` for every leaf; None for a leaf that does not move.

        What is little in memory is computed here and now, for all leaves of a kind at once: the
        keys of the rows, and z of the vectors, of which a transformer has a dozen a layer.
        """
        noises: list[LeafNoise | None] = [None] * len(self.shapes)
        direction, words = self.direction, self.words[index]
        factor = None if self.factors is None else self.factors[index]
        if not isinstance(direction, ElementwiseDirection):
            for leaf in self._moving():
                noises[leaf] = WholeNoise(Row.at(words, leaf), direction, factor)
            return noises
        groups = self.groups()
        tables = _tables(self, index)
        for (is_vector, _), leaves, table in zip(groups, groups.values(), tables, strict=True):
            rows = [Row.at(table, position) for position in range(len(leaves))]
            if is_vector:
                # Hidden from the compiler, the positions stay data.
                rows = lax.optimization_barrier(rows)
            for leaf, row in zip(leaves, rows, strict=True):
                noises[leaf] = DrawnNoise(row) if is_vector else self._noise(leaf, row, factor)
        return noises

    def leaf(self, index: int | Array, leaf: int) -> LeafNoise:
        """The undrawn z of query ``index`` for one leaf that moves."""
        factor = None if self.factors is None else self.factors[index]
        words, shape = self.words[index], self.shapes[leaf] or ()
        if not isinstance(self.direction, ElementwiseDirection):
            return WholeNoise(Row.at(words, leaf), self.direction, factor)
        keys = row_keys(words[leaf], math.prod(shape[: leading_axes(shape)]))
        return self._noise(leaf, Row.at(keys[None], 0), factor)

    def repeated(self, times: int) -> Self:
        """The draws of q·times points: each query ``times`` times in a row.

        Equal points of a loop are drawn anew by each turn: behind the barrier XLA does not see that
        they are equal, and so keeps nothing of z from one turn to the next.
        """
        words, factors = (
            None if x is None else lax.optimization_barrier(jnp.repeat(x, times, axis=0))
            for x in (self.words, self.factors)
        )
        return dataclasses.replace(self, words=words, factors=factors)

    def after(self, values: Array) -> Self:
        """The same draws, made only once ``values`` are known."""
        words, _ = lax.optimization_barrier((self.words, values))
        return dataclasses.replace(self, words=words)

    def _noise(self, leaf: int, keys: Row, factor: Array | None) -> Noise:
        shape = self.shapes[leaf] or ()
        direction = cast("ElementwiseDirection", self.direction)
        return Noise(keys, shape[: leading_axes(shape)], direction, factor)

    def _moving(self) -> list[int]:
        return [leaf for leaf, shape in enumerate(self.shapes) if shape is not None]

    def groups(self) -> dict[tuple[bool, int], list[int]]:
        """The leaves that move: vectors by their size, others by their number of rows."""
        groups: dict[tuple[bool, int], list[int]] = {}
        for leaf in self._moving():
            shape = self.shapes[leaf] or ()
            is_vector = len(shape) <= 1
            size = math.prod(shape if is_vector else shape[: leading_axes(shape)])
            groups.setdefault((is_vector, size), []).append(leaf)
        return groups

    def factor(self, index: Array) -> Array | None:
        """The scale common to all leaves of query ``index``, or None for 1."""
        leaves = zip(self.query(index), self.shapes, strict=True)
        return self.direction.factor(
            [(noise, shape) for noise, shape in leaves if noise is not None and shape is not None]
        )


# Both are compiled, so that a step outside of jit compiles their loops once and not every time.


@jax.jit
def _factors(draws: Draws) -> Array | None:
    return lax.map(draws.factor, jnp.arange(len(draws.words)))


@jax.jit
def _tables(draws: Draws, index: int | Array) -> list[Array]:
    """For each group [leaves, size]: z of vectors, float32, or the keys of rows, uint32."""
    direction, groups = cast("ElementwiseDirection", draws.direction), draws.groups()
    words = draws.words[index]
    factor = None if draws.factors is None else draws.factors[index]

    def z(keys: Array, size: int) -> Array:
        z = from_keys(direction, keys[:, 0], (size,), (size,))
        return z if factor is None else rounded(z * factor)

    def fill(turn: Array, tables: list[Array]) -> list[Array]:
        del tables
        keys = [
            jax.vmap(partial(row_keys, rows=1 if is_vector else size))(
                words[jnp.array(leaves) + turn]
            )
            for (is_vector, size), leaves in groups.items()
        ]
        return [
            z(keys, size) if is_vector else keys
            for (is_vector, size), keys in zip(groups, keys, strict=True)
        ]

    return alone(
        fill,
        [
            jnp.zeros((len(leaves), size), jnp.float32 if is_vector else jnp.uint32)
            for (is_vector, size), leaves in groups.items()
        ],
    )

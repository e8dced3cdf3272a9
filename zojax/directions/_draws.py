"""The directions of one step: every query's undrawn z for every leaf."""

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array, Params
from zojax.directions._base import (
    Direction,
    Drawn,
    ElementwiseDirection,
    LeafNoise,
    Noise,
    draw_all,
)
from zojax.directions._keys import leaf_words
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
        return dataclasses.replace(draws, factors=lax.map(draws._factor, jnp.arange(num_queries)))

    def query(self, index: int | Array) -> list[LeafNoise | None]:
        """The undrawn z of query ``index`` for every leaf; None for a leaf that does not move.

        Vectors, of which a transformer has a dozen a layer, are drawn here and now: all of one
        shape in one operation. They are nothing in memory, and most of the program otherwise.
        """
        noises: list[LeafNoise | None] = [
            None if shape is None else self.leaf(index, leaf)
            for leaf, shape in enumerate(self.shapes)
        ]
        if isinstance(self.direction, ElementwiseDirection):
            for shape, leaves in self._vectors().items():
                words = self.words[index][jnp.array(leaves)]
                z = self._scaled(draw_all(self.direction, shape, words), index)
                for z_leaf, leaf in zip(z, leaves, strict=True):
                    noises[leaf] = Drawn(self.words, leaf, z_leaf)
        return noises

    def leaf(self, index: int | Array, leaf: int) -> Noise:
        """The undrawn z of query ``index`` for one leaf."""
        factor = None if self.factors is None else self.factors[index]
        return Noise(self.words[index], leaf, self.direction, factor)

    def after(self, values: Array) -> Self:
        """The same draws, made only once ``values`` are known."""
        words, _ = lax.optimization_barrier((self.words, values))
        return dataclasses.replace(self, words=words)

    def _vectors(self) -> dict[tuple[int, ...], list[int]]:
        """The leaves of rank 0 and 1, by shape."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for leaf, shape in enumerate(self.shapes):
            if shape is not None and len(shape) <= 1:
                groups.setdefault(shape, []).append(leaf)
        return groups

    def _scaled(self, z: Array, index: int | Array) -> Array:
        return z if self.factors is None else rounded(z * self.factors[index])

    def _factor(self, index: Array) -> Array | None:
        leaves = zip(self.query(index), self.shapes, strict=True)
        return self.direction.factor(
            [(noise, shape) for noise, shape in leaves if noise is not None and shape is not None]
        )

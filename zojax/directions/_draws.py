"""The directions of one step: every query's undrawn z for every leaf."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array, Params
from zojax.directions._base import Direction, Noise
from zojax.directions._keys import leaf_words


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
        return dataclasses.replace(draws, factors=lax.map(draws._factor, draws.words))

    def query(self, index: int | Array) -> list[Noise | None]:
        """The undrawn z of query ``index`` for every leaf; None for a leaf that does not move."""
        factor = None if self.factors is None else self.factors[index]
        return self._noises(self.words[index], factor)

    def after(self, values: Array) -> Self:
        """The same draws, made only once ``values`` are known."""
        words, _ = lax.optimization_barrier((self.words, values))
        return dataclasses.replace(self, words=words)

    def _noises(self, words: Array, factor: Array | None = None) -> list[Noise | None]:
        return [
            None if shape is None else Noise(words, leaf, self.direction, factor)
            for leaf, shape in enumerate(self.shapes)
        ]

    def _factor(self, words: Array) -> Array | None:
        noises: Sequence[Noise | None] = self._noises(words)
        leaves = [
            (noise, shape)
            for noise, shape in zip(noises, self.shapes, strict=True)
            if noise is not None and shape is not None
        ]
        return self.direction.factor(leaves)

"""The directions of one step: every query's undrawn z for every leaf."""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AbstractMesh

from zojax._mesh import mesh_of, whole
from zojax._types import Array, Params
from zojax.directions._base import Direction
from zojax.directions._keys import leaf_words
from zojax.directions._noise import LeafNoise, Row


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Draws:
    """What picks the directions z_0 … z_{q-1} of a step.

    Attributes:
      words: uint32 [q, n, 2]: two random words for each query and leaf.
      factors: float32 [q]: the scale common to all leaves of a query, or None for 1.
      direction: The distribution of z.
      shapes: The shape of each leaf that moves; None for one that does not (integers).
      mesh: The devices that the parameters are on; None for a single one.
    """

    words: Array
    factors: Array | None
    direction: Direction = dataclasses.field(metadata={"static": True})
    shapes: tuple[tuple[int, ...] | None, ...] = dataclasses.field(metadata={"static": True})
    mesh: AbstractMesh | None = dataclasses.field(metadata={"static": True})

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
        words = leaf_words(key, count, num_queries, params)
        draws = cls(words, None, direction, shapes, mesh_of(params))
        return dataclasses.replace(draws, factors=_factors(draws))

    def query(self, index: int | Array) -> list[LeafNoise | None]:
        """The undrawn z of query ``index`` for every leaf; None for a leaf that does not move."""
        factor = None if self.factors is None else self.factors[index]
        noises = self.direction.noises(self.words[index], self.shapes, factor)
        if self.mesh is None:
            return noises
        return jax.tree.map(self._placed, noises, is_leaf=lambda x: isinstance(x, Row))

    def _placed(self, x: Any) -> Any:
        if not isinstance(x, Row):
            return x
        return dataclasses.replace(x, table=whole(x.table, self.mesh), mesh=self.mesh)

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

    def factor(self, index: Array) -> Array | None:
        """The scale common to all leaves of query ``index``, or None for 1."""
        leaves = zip(self.query(index), self.shapes, strict=True)
        return self.direction.factor(
            [(noise, shape) for noise, shape in leaves if noise is not None and shape is not None]
        )


# Compiled, so that a step outside of jit compiles the loop once and not every time.
@jax.jit
def _factors(draws: Draws) -> Array | None:
    return lax.map(draws.factor, jnp.arange(len(draws.words)))

"""What a direction is, and the noise of one leaf before it is drawn."""

import abc
import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp

from zojax._types import Array
from zojax.directions._counter import leaf_bits, row_bits, row_starts
from zojax.directions._keys import key_words
from zojax.directions._rounding import rounded


class Direction(abc.ABC):
    """Distribution of the random direction z, with E[z zᵀ] = I.

    Subclass it as a frozen dataclass, so that equal settings are equal objects and nothing is
    compiled twice. :meth:`draw` is all that a new direction needs.
    """

    @abc.abstractmethod
    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws z for one leaf.

        Args:
          key: Typed key [] of the leaf at this step and query.
          shape: Shape of the leaf.

        Returns:
          float32 ``shape``.
        """

    def factor(self, leaves: Sequence["tuple[LeafNoise, tuple[int, ...]]"]) -> Array | None:
        """One number that scales every leaf, known from all of them; None for 1.

        Args:
          leaves: The noise and the shape of every leaf.

        Returns:
          float32 [] or None.
        """
        del leaves
        return None


class ElementwiseDirection(Direction):
    """A direction whose elements are independent and made from 32 random bits each.

    Such noise fuses into the operation that consumes it and can be drawn by rows, tiles and
    layers, so a streamed step never holds all of z.
    """

    @abc.abstractmethod
    def from_bits(self, bits: Array) -> Array:
        """Maps uniform uint32 [...] to float32 [...] of mean 0 and variance 1."""

    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        return _draw(self, shape, key_words(key), None)


@dataclasses.dataclass(frozen=True)
class LeafNoise(abc.ABC):
    """z of one leaf, not yet drawn.

    Attributes:
      words: uint32 [..., n, 2]: the words of n leaves.
      leaf: Which of the n this is.
    """

    words: Array
    leaf: int = dataclasses.field(metadata={"static": True})

    @property
    @abc.abstractmethod
    def random_access(self) -> bool:
        """Whether :meth:`rows` and :meth:`slices` can draw a part alone."""

    @abc.abstractmethod
    def draw(self, shape: tuple[int, ...]) -> Array:
        """z, float32 ``shape``; always the same bits for the same leaf."""

    @abc.abstractmethod
    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        """``draw(shape)[rows]``, float32 [*rows.shape, *shape[1:]], drawing those rows alone."""

    @abc.abstractmethod
    def slices(self, shape: tuple[int, ...]) -> Any:
        """A pytree with a leading axis shape[0], to be scanned over for :meth:`slice`."""

    @abc.abstractmethod
    def slice(self, part: Any) -> "LeafNoise":
        """The noise of one element of the leading axis, from its part of :meth:`slices`."""

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        """The same noise, drawable only once ``values`` are there; and the values.

        XLA merges equal draws of z and moves them early, keeping every perturbed weight alive.
        The barrier makes each draw wait for the activation that it meets.
        """
        # The leaf's own words go through the barrier, so that draws of one shape are one program:
        # a GPU compiler then makes one kernel of them all.
        own = self.words[..., self.leaf : self.leaf + 1, :]
        own, held = jax.lax.optimization_barrier((own, list(values)))
        return dataclasses.replace(self, words=own, leaf=0), held


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Noise(LeafNoise):
    """z of one leaf as a :class:`Direction` draws it.

    Attributes:
      direction: The distribution.
      factor: float32 []: scale common to all leaves, or None for 1.
      start: uint32 [2]: index of the first element within the whole leaf, or None for 0.
    """

    direction: Direction = dataclasses.field(metadata={"static": True})
    factor: Array | None = None
    start: Array | None = None

    @property
    def random_access(self) -> bool:
        return isinstance(self.direction, ElementwiseDirection)

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._scaled(_draw(self.direction, shape, self.words[self.leaf], self.start))

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        words = self.words[self.leaf]
        return self._scaled(_draw_rows(self.direction, shape, words, self.start, rows))

    def slices(self, shape: tuple[int, ...]) -> Array:
        return jnp.stack(row_starts(shape, self.start), axis=-1)

    def slice(self, part: Array) -> "Noise":
        return dataclasses.replace(self, start=part)

    def _scaled(self, z: Array) -> Array:
        return z if self.factor is None else rounded(z * self.factor)


# Both are compiled, also where the caller is not: XLA contracts multiply-adds, and plain evaluation
# would give z other last bits.


@partial(jax.jit, static_argnums=(0, 1))
def _draw(direction: Direction, shape: tuple[int, ...], words: Array, start: Array | None) -> Array:
    if isinstance(direction, ElementwiseDirection):
        return direction.from_bits(leaf_bits(words, shape, start))
    return direction.draw(jax.random.wrap_key_data(words, impl="threefry2x32"), shape)


def draw_all(direction: Direction, shape: tuple[int, ...], words: Array) -> Array:
    """Draws z of m leaves of one shape, float32 [m, *shape], from their words, uint32 [m, 2]."""
    return jax.vmap(lambda words: _draw(direction, shape, words, None))(words)


@partial(jax.jit, static_argnums=(0, 1))
def _draw_rows(
    direction: ElementwiseDirection,
    shape: tuple[int, ...],
    words: Array,
    start: Array | None,
    rows: Array,
) -> Array:
    return direction.from_bits(row_bits(words, shape, rows, start))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Drawn(LeafNoise):
    """z of one leaf that is drawn already, for leaves so small that keeping z costs nothing.

    Attributes:
      z: float32, of the leaf's shape.
    """

    z: Array

    @property
    def random_access(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self.z.reshape(shape)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self.z.reshape(shape)[rows]

    def slices(self, shape: tuple[int, ...]) -> Array:
        return self.z.reshape(shape)

    def slice(self, part: Array) -> "Drawn":
        return dataclasses.replace(self, z=part)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        return self, [*values]


def tied(noises: Sequence[LeafNoise | None], value: Array) -> list[LeafNoise | None]:
    """The same noises, drawable only once ``value`` is there."""
    # Leaves share their words: one barrier for each array of words, not for each leaf.
    words: dict[int, Array] = {}

    def after(noise: LeafNoise) -> LeafNoise:
        shared = id(noise.words)
        if shared not in words:
            words[shared] = jax.lax.optimization_barrier((noise.words, value))[0]
        return dataclasses.replace(noise, words=words[shared])

    return [None if noise is None else after(noise) for noise in noises]

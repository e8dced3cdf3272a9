"""Directions of which a random part is zero."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp

from zojax._types import Array, Params
from zojax.directions._base import Direction, ElementwiseDirection
from zojax.directions._draws import Draws
from zojax.directions._noise import LeafNoise


@dataclasses.dataclass(frozen=True)
class _Uniform(ElementwiseDirection):
    """Uniform on [0, 1): no direction by itself, but drawn as one, by rows, tiles and layers."""

    def from_bits(self, bits: Array) -> Array:
        return (bits >> 8).astype(jnp.float32) * 2.0**-24


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SparseNoise(LeafNoise):
    """A leaf of a masked direction, mask ⊙ z, not yet drawn.

    Attributes:
      noise: Undrawn z.
      uniform: Undrawn uniform numbers; an element stays where its number is below ``keep``.
      keep: float32 []: the share of elements that stay.
    """

    noise: LeafNoise
    uniform: LeafNoise
    keep: Array

    @property
    def random_access(self) -> bool:
        return self.noise.random_access and self.uniform.random_access

    @property
    def in_memory(self) -> bool:
        return self.noise.in_memory

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._masked(self.noise.draw(shape), self.uniform.draw(shape))

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        noise, held = self.noise.tied(values)
        uniform, held = self.uniform.tied(held)
        return dataclasses.replace(self, noise=noise, uniform=uniform), held

    def in_turn(self, turn: Array) -> Self:
        noise, uniform = self.noise.in_turn(turn), self.uniform.in_turn(turn)
        return dataclasses.replace(self, noise=noise, uniform=uniform)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self._masked(self.noise.rows(shape, rows), self.uniform.rows(shape, rows))

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        parts = (noise.block(shape, axis, first, size) for noise in (self.noise, self.uniform))
        return self._masked(*parts)

    def slices(self, shape: tuple[int, ...]) -> Any:
        return self.noise.slices(shape), self.uniform.slices(shape)

    def slice(self, part: Any) -> "SparseNoise":
        noise, uniform = part
        return SparseNoise(self.noise.slice(noise), self.uniform.slice(uniform), self.keep)

    def _masked(self, z: Array, uniform: Array) -> Array:
        return jnp.where(uniform < self.keep, z, 0.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SparseDraws(Draws):
    """Draws whose every query has a mask of its own.

    Attributes:
      masks: The draws of the uniform numbers.
      keep: float32 [n]: the share of each leaf's elements that stay.
    """

    masks: Draws
    keep: Array

    @classmethod
    def masked(
        cls,
        keep: Array,
        direction: Direction,
        key: Array,
        count: Array,
        num_queries: int,
        params: Params,
    ) -> "SparseDraws":
        """The draws of a step: see :meth:`Draws.at_step`; z is the same as without a mask."""
        z = Draws.at_step(direction, key, count, num_queries, params)
        # Queries behind those of z, so that the masks share nothing with it.
        both = Draws.at_step(_Uniform(), key, count, 2 * num_queries, params)
        masks = dataclasses.replace(both, words=both.words[num_queries:])
        return cls(z.words, z.factors, z.direction, z.shapes, z.mesh, masks, keep)

    def query(self, index: int | Array) -> list[LeafNoise | None]:
        return [
            None if z is None or uniform is None else SparseNoise(z, uniform, keep)
            for z, uniform, keep in zip(
                super().query(index), self.masks.query(index), self.keep, strict=True
            )
        ]

    def repeated(self, times: int) -> Self:
        masks = self.masks.repeated(times)
        return dataclasses.replace(super().repeated(times), masks=masks)

    def after(self, values: Array) -> Self:
        return dataclasses.replace(super().after(values), masks=self.masks.after(values))

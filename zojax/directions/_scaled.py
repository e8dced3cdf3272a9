"""A direction with a scale for each leaf."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax

from zojax._types import Array
from zojax._xla import rounded
from zojax.directions._noise import LeafNoise


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScaledNoise(LeafNoise):
    """z of one leaf times a number, not yet drawn.

    Attributes:
      noise: Undrawn z.
      scale: float32 [].
    """

    noise: LeafNoise
    scale: Array

    @property
    def random_access(self) -> bool:
        return self.noise.random_access

    @property
    def in_memory(self) -> bool:
        return self.noise.in_memory

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._scaled(self.noise.draw(shape))

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        noise, held = self.noise.tied(values)
        return dataclasses.replace(self, noise=noise), held

    def in_loop(self, counter: Array) -> Self:
        return dataclasses.replace(self, noise=self.noise.in_loop(counter))

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self._scaled(self.noise.rows(shape, rows))

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        return self._scaled(self.noise.block(shape, axis, first, size))

    def slices(self, shape: tuple[int, ...]) -> Any:
        return self.noise.slices(shape)

    def slice(self, part: Any) -> "ScaledNoise":
        return ScaledNoise(self.noise.slice(part), self.scale)

    def _scaled(self, z: Array) -> Array:
        return rounded(z * self.scale)

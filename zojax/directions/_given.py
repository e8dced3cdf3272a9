"""A direction that is held in memory."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array
from zojax.directions._noise import LeafNoise


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GivenNoise(LeafNoise):
    """A leaf of a direction that is held in memory.

    Attributes:
      z: The direction, of the leaf's shape.
    """

    z: Array

    @property
    def random_access(self) -> bool:
        return True

    @property
    def in_memory(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._wide(self.z).reshape(shape)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        return self, [*values]

    def in_loop(self, counter: Array) -> Self:
        del counter
        return self

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        del shape
        return self._wide(self.z[rows])

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        del shape
        return self._wide(lax.dynamic_slice_in_dim(self.z, first, size, axis))

    def slices(self, shape: tuple[int, ...]) -> Array:
        del shape
        return self.z

    def slice(self, part: Array) -> "GivenNoise":
        return GivenNoise(part)

    def _wide(self, x: Array) -> Array:
        return x.astype(jnp.float32)

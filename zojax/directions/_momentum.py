"""The momentum-centred direction of ZO-AdaMU."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array
from zojax.directions._drawn import drawn
from zojax.directions._noise import LeafNoise
from zojax.directions._rounding import rounded


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MomentumNoise(LeafNoise):
    r"""A leaf of ZO-AdaMU's direction, part noise and part momentum, not yet drawn.

    .. math::
        \dot z = \sqrt\alpha\,\dot\xi, \qquad m_t = \beta_1 \dot z + (1-\beta_1)\,\ddot z

    Attributes:
      zero: Undrawn ξ̇.
      centred: z̈, of the leaf's shape.
      alpha, beta1: float32 [].
    """

    zero: LeafNoise
    centred: Array
    alpha: Array
    beta1: Array

    @property
    def random_access(self) -> bool:
        return self.zero.random_access

    @property
    def in_memory(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        del shape
        return _draw(self)

    def parts(self) -> tuple[Array, Array]:
        """ż and z̈, float32 and of the leaf's shape."""
        return self._parts(drawn(self.zero, self.centred), self.centred)

    def mix(self, zero: Array, centred: Array) -> Array:
        """m_t from ż and z̈."""
        return rounded(self.beta1 * zero) + rounded((1.0 - self.beta1) * centred)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self.mix(*self._parts(self.zero.rows(shape, rows), self.centred[rows]))

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        # As in tied: not before the loop over the blocks.
        centred, first = lax.optimization_barrier((self.centred, first))
        centred = lax.dynamic_slice_in_dim(centred, first, size, axis)
        return self.mix(*self._parts(self.zero.block(shape, axis, first, size), centred))

    def slices(self, shape: tuple[int, ...]) -> Any:
        return self.centred, self.zero.slices(shape)

    def slice(self, part: Any) -> "MomentumNoise":
        centred, zero = part
        return dataclasses.replace(self, centred=centred, zero=self.zero.slice(zero))

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        zero, held = self.zero.tied(values)
        # z̈ as well: XLA would widen one in bfloat16 before the loop over the losses, all of it.
        centred, held = lax.optimization_barrier((self.centred, held))
        return dataclasses.replace(self, zero=zero, centred=centred), held

    def waiting(self, zero: Array) -> Self:
        centred, zero = lax.optimization_barrier((self.centred, zero))
        return dataclasses.replace(self, zero=self.zero.waiting(zero), centred=centred)

    def in_turn(self, turn: Array) -> Self:
        return dataclasses.replace(self, zero=self.zero.in_turn(turn))

    def _parts(self, zero: Array, centred: Array) -> tuple[Array, Array]:
        return rounded(jnp.sqrt(self.alpha) * zero), centred.astype(jnp.float32)


@jax.jit
def _draw(noise: MomentumNoise) -> Array:
    return noise.mix(*noise.parts())

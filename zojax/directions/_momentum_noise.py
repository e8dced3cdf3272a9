"""The noise of ZO-AdaMU's direction before it is drawn."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array
from zojax._xla import opaque, rounded, tied
from zojax.directions._direction import Draws, Noises
from zojax.directions._noise import LeafNoise, drawn_at

SIGMA = 1e-8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MomentumDraws(Draws):
    """The directions m_t of a step.

    Attributes:
      base: The draws of ξ̇.
      centre: z̈ of each leaf, of the leaf's shape.
      alpha: float32 [].
      beta1: float32 [q]: the same number for every query.
      beta2: float32 [].
    """

    base: Draws
    centre: list[Array]
    alpha: Array
    beta1: Array
    beta2: Array

    @property
    def num_queries(self) -> int:
        return self.base.num_queries

    def query(self, index: int | Array) -> Noises:
        return self._centred(self.base.query(index), self.beta1[index])

    def queries(self) -> Noises:
        return self._centred(self.base.queries(), self.beta1[0])

    def repeated(self, times: int) -> Self:
        # Because of the tie the compiler cannot see that all points have the same weights, and so
        # keeps no product of the history from one point to the next.
        beta1 = opaque(jnp.repeat(self.beta1, times))
        return dataclasses.replace(self, base=self.base.repeated(times), beta1=beta1)

    def after(self, values: Array) -> Self:
        return dataclasses.replace(self, base=self.base.after(values))

    def _centred(self, zeros: Noises, beta1: Array) -> Noises:
        return [
            None if zero is None else MomentumNoise(zero, centre, self.alpha, beta1, self.beta2)
            for zero, centre in zip(zeros, self.centre, strict=True)
        ]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MomentumNoise(LeafNoise):
    """A leaf of m_t, not yet drawn.

    Attributes:
      zero: Undrawn ξ̇.
      centre: z̈, of the leaf's shape.
      alpha, beta1, beta2: float32 [].
      sliced: Whether it is one layer's, cut within the loop over the layers.
    """

    zero: LeafNoise
    centre: Array
    alpha: Array
    beta1: Array
    beta2: Array
    sliced: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def query_axes(self) -> Any:
        shared = dict.fromkeys(("centre", "alpha", "beta1", "beta2"))
        return dataclasses.replace(self, zero=self.zero.query_axes, **shared)

    @property
    def random_access(self) -> bool:
        return self.zero.random_access

    @property
    def in_memory(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        del shape
        return _draw(self)

    def applied(self, slope: Array, parameter: Array) -> Array:
        del parameter
        zero, centre = self.parts()
        variance = rounded(self.beta2 * jnp.square(zero))
        variance += rounded((1.0 - self.beta2) * jnp.square(centre))
        return slope * self.mix(zero, centre) * lax.rsqrt(variance + SIGMA)

    def parts(self) -> tuple[Array, Array]:
        """ż and z̈, float32 and of the leaf's shape."""
        return self._wide(drawn_at(self.zero, self.centre), self.centre)

    def mix(self, zero: Array, centre: Array) -> Array:
        """m_t from ż and z̈."""
        return rounded(self.beta1 * zero) + rounded((1.0 - self.beta1) * centre)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self.mix(*self._wide(self.zero.rows(shape, rows), self.centre[rows]))

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        # As in tied: not before the loop over the blocks.
        centre, first = tied(self.centre, first)
        centre = lax.dynamic_slice_in_dim(centre, first, size, axis)
        return self.mix(*self._wide(self.zero.block(shape, axis, first, size), centre))

    def slices(self, shape: tuple[int, ...]) -> Any:
        return self.centre, self.zero.slices(shape)

    def slice(self, part: Any) -> "MomentumNoise":
        centre, zero = part
        return dataclasses.replace(self, centre=centre, zero=self.zero.slice(zero), sliced=True)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        zero, held = self.zero.tied(values)
        centre = self.centre
        # z̈ as well: XLA would widen one in bfloat16 before the loop over the losses, all of it.
        # A layer's is not there before its turn, and a tie would copy it.
        if not self.sliced:
            centre, held = tied(centre, held)
        return dataclasses.replace(self, zero=zero, centre=centre), held

    def after(self, zero: Array) -> Self:
        centre = self.centre
        if not self.sliced:
            centre, zero = tied(centre, zero)
        return dataclasses.replace(self, zero=self.zero.after(zero), centre=centre)

    def in_loop(self, counter: Array) -> Self:
        return dataclasses.replace(self, zero=self.zero.in_loop(counter))

    def _wide(self, zero: Array, centre: Array) -> tuple[Array, Array]:
        return rounded(jnp.sqrt(self.alpha) * zero), centre.astype(jnp.float32)


@jax.jit
def _draw(noise: MomentumNoise) -> Array:
    return noise.mix(*noise.parts())

"""The noise of ZO-AdaMU's direction before it is drawn."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array
from zojax._xla import opaque, rounded, tied
from zojax.directions._direction import Draws, Noises, of_queries
from zojax.directions._noise import LeafNoise, drawn_at

SIGMA = 1e-8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MomentumDraws(Draws):
    """The directions m_t of a step.

    Attributes:
      base: The draws of ξ̇, of one query more.
      centre: z̈ of each leaf, of the leaf's shape.
      weights: float32 [q], twice: those of ξ̇ and z̈ in m_t, the same for every query.
      shares: float32 [2]: those of their squares in v_t.
    """

    base: Draws
    centre: list[Array]
    weights: tuple[Array, Array]
    shares: Array

    @property
    def num_queries(self) -> int:
        return len(self.weights[0])

    def query(self, index: int | Array) -> Noises:
        return self._centred(self.base.query(index), index)

    def queries(self) -> Noises:
        if self.num_queries == 1:
            return self.query(0)
        own = slice(self.num_queries)
        zeros = [zero and of_queries(zero, own) for zero in self.base.queries()]
        return self._centred(zeros, 0)

    def repeated(self, times: int) -> Self:
        # Because of the tie the compiler cannot see that all points have the same weights, and so
        # keeps no product of the history from one point to the next.
        weights = opaque(jax.tree.map(lambda x: jnp.repeat(x, times), self.weights))
        return dataclasses.replace(self, base=self.base.repeated(times), weights=weights)

    def after(self, values: Array) -> Self:
        return dataclasses.replace(self, base=self.base.after(values))

    def _centred(self, zeros: Noises, index: int | Array) -> Noises:
        # Numbers, for XLA perturbs weights that read one array at the same time, to read it once.
        weights = self.weights[0][index], self.weights[1][index]
        return [
            None if zero is None else MomentumNoise(zero, centre, weights, self.shares)
            for zero, centre in zip(zeros, self.centre, strict=True)
        ]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MomentumNoise(LeafNoise):
    """A leaf of m_t, not yet drawn.

    Attributes:
      zero: Undrawn ξ̇.
      centre: z̈, of the leaf's shape.
      weights: float32 [], twice: those of ξ̇ and z̈ in m_t, β₁√α and 1 - β₁.
      shares: float32 [2]: those of their squares in v_t, β₂α and 1 - β₂.
      sliced: Whether it is one layer's, cut within the loop over the layers.
    """

    zero: LeafNoise
    centre: Array
    weights: tuple[Array, Array]
    shares: Array
    sliced: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def query_axes(self) -> Any:
        shared = dict.fromkeys(("centre", "weights", "shares"))
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
        zero, centre = drawn_at(self.zero, self.centre), self.centre.astype(jnp.float32)
        variance = _mixed(self.shares, lax.square(zero), lax.square(centre))
        return slope * _mixed(self.weights, zero, centre) * lax.rsqrt(variance + SIGMA)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return _mixed(self.weights, self.zero.rows(shape, rows), self.centre[rows])

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        # As in tied: not before the loop over the blocks.
        centre, first = tied(self.centre, first)
        centre = lax.dynamic_slice_in_dim(centre, first, size, axis)
        return _mixed(self.weights, self.zero.block(shape, axis, first, size), centre)

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


@jax.jit
def _draw(noise: MomentumNoise) -> Array:
    return _mixed(noise.weights, drawn_at(noise.zero, noise.centre), noise.centre)


def _mixed(weights: Any, zero: Array, centre: Array) -> Array:
    """The sum of two arrays with two weights, float32."""
    return rounded(weights[0] * zero) + rounded(weights[1] * centre.astype(jnp.float32))

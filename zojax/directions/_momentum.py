"""The momentum-centred direction of ZO-AdaMU."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from zojax._types import Array
from zojax.directions._base import LeafNoise
from zojax.directions._rounding import rounded


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MomentumNoise(LeafNoise):
    r"""A leaf of ZO-AdaMU's direction, part noise and part history, not yet drawn.

    .. math::
        \dot z = \sqrt\alpha\,\dot\xi, \qquad
        \ddot z = m_{t-1} + \sqrt{1-\alpha}\,\ddot\xi, \qquad
        m_t = \beta_1 \dot z + (1-\beta_1)\,\ddot z

    Attributes:
      words: uint32 [2, n, 2]: of the two draws.
      mu: The leaf's history m_{t-1}, of the leaf's shape.
      zero: Undrawn ξ̇.
      centred: Undrawn ξ̈.
      alpha, beta1: float32 [].
    """

    mu: Array
    zero: LeafNoise
    centred: LeafNoise
    alpha: Array
    beta1: Array

    @property
    def random_access(self) -> bool:
        return self._draws()[0].random_access

    def draw(self, shape: tuple[int, ...]) -> Array:
        return _draw(self, shape)

    def parts(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """ż and z̈, float32 ``shape`` each."""
        zero, centred = self._draws()
        return self._parts(zero.draw(shape), centred.draw(shape), self.mu)

    def mix(self, zero: Array, centred: Array) -> Array:
        """m_t from ż and z̈."""
        return rounded(self.beta1 * zero) + rounded((1.0 - self.beta1) * centred)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        zero, centred = self._draws()
        zero, centred = zero.rows(shape, rows), centred.rows(shape, rows)
        return self.mix(*self._parts(zero, centred, self.mu[rows]))

    def slices(self, shape: tuple[int, ...]) -> Any:
        zero, centred = self._draws()
        return self.mu, zero.slices(shape), centred.slices(shape)

    def slice(self, part: Any) -> "MomentumNoise":
        mu, zero, centred = part
        return dataclasses.replace(
            self, mu=mu, zero=self.zero.slice(zero), centred=self.centred.slice(centred)
        )

    def _parts(self, zero: Array, centred: Array, mu: Array) -> tuple[Array, Array]:
        return (
            rounded(jnp.sqrt(self.alpha) * zero),
            mu.astype(jnp.float32) + rounded(jnp.sqrt(1.0 - self.alpha) * centred),
        )

    def _draws(self) -> tuple[LeafNoise, LeafNoise]:
        # The words are held once, here, so that one barrier ties both draws.
        return (
            dataclasses.replace(self.zero, words=self.words[0], leaf=self.leaf),
            dataclasses.replace(self.centred, words=self.words[1], leaf=self.leaf),
        )


@partial(jax.jit, static_argnums=1)
def _draw(noise: MomentumNoise, shape: tuple[int, ...]) -> Array:
    return noise.mix(*noise.parts(shape))

"""Directions in units of the parameters themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self, cast

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array, Params
from zojax._xla import rounded
from zojax.directions._direction import Direction, Draws, Noises
from zojax.directions._named import DirectionLike, direction_of
from zojax.directions._noise import LeafNoise


@dataclasses.dataclass(frozen=True)
class Relative(Direction):
    r"""A direction whose elements are in proportion to the parameters' sizes.

    .. math:: z_j = |\theta_j|\,z'_j

    So ``eps`` and learning rates are shares of a parameter. Scales of quantized weights are as
    different from layer to layer as the weights are, and one absolute step cannot suit all of them:
    an ``eps`` of 1e-3 is 15 % of a scale of a typical block in int4, and more than all of one in
    int8. A share of less than 1 also keeps them positive. A parameter of 0 stays.

    What follows must leave the proportions: descent, momentum, a sign of the slope. A rule that
    divides by the gradient's size, element by element, as Adam's does, takes them away again.

    Args:
      base: Draws z′.

    Cost: the base's.
    Error: as eps → 0 the estimate's mean is :math:`\theta_j^2\,\partial_j L`: descent in log θ, so
      to say.

    Raises:
      TypeError: ``base`` is no direction.

    References:
      Scales of quantized weights alone, in absolute units: QZO, arXiv:2505.13430.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> direction = zojax.directions.Relative()
      >>> tx = zojax.mezo(1e-2, eps=1e-2, key=0, direction=direction, slope_rule="sign")
      >>> params = jnp.array([1.0, 100.0, 0.0])
      >>> updates, _ = tx.update(None, tx.init(params), params, value_fn=lambda p: p.sum())
      >>> bool(abs(updates[1]) > 10 * abs(updates[0])), float(updates[2]) == 0
      (True, True)
    """

    base: DirectionLike = "gaussian"

    reads_parameters: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", direction_of("Relative", self.base, "base"))

    @property
    def _base(self) -> Direction:
        return cast("Direction", self.base)  # whose name was looked up

    @property
    def remembers(self) -> bool:
        return self._base.remembers

    def init(self, params: Params, num_queries: int) -> Any:
        return self._base.init(params, num_queries)

    def at_step(
        self, state: Any, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[RelativeDraws, Any]:
        draws, base = self._base.at_step(state, key, count, num_queries, params)
        return RelativeDraws(draws, jax.tree.leaves(params)), base

    def after_step(
        self, state: Any, draws: Any, slopes: Array, usable: Array, params: Params
    ) -> Any:
        return self._base.after_step(state, draws.base, slopes, usable, params)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RelativeDraws(Draws):
    """Draws that are multiplied by the parameters.

    Attributes:
      base: Those of z′.
      leaves: The parameters.
    """

    base: Draws
    leaves: list[Array]

    @property
    def num_queries(self) -> int:
        return self.base.num_queries

    def query(self, index: int | Array) -> Noises:
        return self._of(self.base.query(index))

    def queries(self) -> Noises:
        return self._of(self.base.queries())

    def repeated(self, times: int) -> Self:
        return dataclasses.replace(self, base=self.base.repeated(times))

    def after(self, values: Array) -> Self:
        return dataclasses.replace(self, base=self.base.after(values))

    def _of(self, noises: Noises) -> Noises:
        return [
            None if z is None else RelativeNoise(z, leaf)
            for z, leaf in zip(noises, self.leaves, strict=True)
        ]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RelativeNoise(LeafNoise):
    """|θ|·z of one leaf, not yet drawn.

    Attributes:
      noise: Undrawn z.
      parameter: θ.
    """

    noise: LeafNoise
    parameter: Array

    @property
    def query_axes(self) -> Any:
        return dataclasses.replace(self, noise=self.noise.query_axes, parameter=None)

    @property
    def random_access(self) -> bool:
        return self.noise.random_access

    @property
    def in_memory(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        return _times(self.noise.draw(shape), self.parameter)

    def applied(self, slope: Array, parameter: Array) -> Array:
        return _times(self.noise.applied(slope, parameter), self.parameter)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        noise, held = self.noise.tied(values)
        return dataclasses.replace(self, noise=noise), held

    def in_loop(self, counter: Array) -> Self:
        return dataclasses.replace(self, noise=self.noise.in_loop(counter))

    def after(self, zero: Array) -> Self:
        return dataclasses.replace(self, noise=self.noise.after(zero))

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return _times(self.noise.rows(shape, rows), self.parameter[rows])

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        part = lax.dynamic_slice_in_dim(self.parameter, first, size, axis)
        return _times(self.noise.block(shape, axis, first, size), part)

    def slices(self, shape: tuple[int, ...]) -> Any:
        return self.noise.slices(shape), self.parameter

    def slice(self, part: Any) -> RelativeNoise:
        noise, parameter = part
        return RelativeNoise(self.noise.slice(noise), parameter)


def _times(z: Array, parameter: Array) -> Array:
    return rounded(z * jnp.abs(parameter.astype(z.dtype)))

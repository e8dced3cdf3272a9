"""Directions of which a random part is zero."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
from jax import lax

from zojax import _check
from zojax._types import Array, Params
from zojax.directions._direction import Direction, Draws, Noises, SampledDraws
from zojax.directions._elementwise import ElementwiseDirection
from zojax.directions._named import DirectionLike, direction_of
from zojax.directions._noise import LeafNoise, drawn_at


class SparseState(NamedTuple):
    """State of :class:`Sparse`, in an estimator's."""

    keep: Array  # float32 [n]: the share of each leaf's elements that move in a step
    base: Any  # the base's


@dataclasses.dataclass(frozen=True)
class Sparse(Direction):
    r"""A direction of which a random part is zero, drawn anew at every step and for every query.

    .. math:: z = m \odot z', \qquad P(m_j = 0) = s_l \text{ for the elements } j \text{ of leaf } l

    The losses and the update have the same mask. With ``ratios="equal"`` every s_l is
    ``sparsity``. With ``"magnitude"`` s_l is the share of the leaf's parameters whose magnitude
    lies under the ``sparsity`` quantile of all magnitudes, as ``init`` finds them: leaves of small
    parameters move less. Either way the expected share of zeros among all parameters is
    ``sparsity``. (The code released with arXiv:2402.11592 compares a normal number, not a uniform
    one, with the ratio, and zeroes 57.9% where 20% is asked.)

    Args:
      sparsity: Share of the parameters that stay in a step, in [0, 1].
      ratios: ``"magnitude"`` or ``"equal"``.
      base: Draws z′.

    Cost: the base's, and as many random bits again. ``init`` reads the parameters 32 times for
      ``"magnitude"``, within one compiled loop.
    Error: as eps → 0 the estimate's mean is :math:`(1 - s_l)\,\nabla_l L`, for the mask is not
      scaled up.

    Raises:
      ValueError: ``sparsity`` is outside [0, 1], or ``ratios`` is unknown.
      TypeError: ``base`` is no direction.

    References:
      Zhang et al., 2024, arXiv:2402.11592, Section 6.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> tx = zojax.spsa(1e-3, key=0, direction=zojax.Sparse(sparsity=0.5))
      >>> params = {"small": jnp.full(100, 0.1), "large": jnp.full(100, 9.0)}
      >>> tx.init(params).direction.keep.tolist()  # leaves in tree order: large, small
      [1.0, 0.0]
    """

    sparsity: float = 0.2
    ratios: Literal["magnitude", "equal"] = "magnitude"
    base: DirectionLike = "gaussian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", direction_of("Sparse", self.base, "base"))
        _check.fraction("Sparse", "sparsity", self.sparsity)
        _check.one_of("Sparse", "ratios", self.ratios, ("magnitude", "equal"))

    @property
    def _base(self) -> Direction:
        return cast("Direction", self.base)  # whose name was looked up

    @property
    def remembers(self) -> bool:
        return self._base.remembers

    def init(self, params: Params, num_queries: int) -> SparseState:
        leaves = jax.tree.leaves(params)
        if self.ratios == "equal":
            keep = jnp.full(len(leaves), 1.0 - self.sparsity, jnp.float32)
        else:
            keep = 1.0 - _shares_below_quantile(leaves, jnp.float32(self.sparsity))
        return SparseState(keep, self._base.init(params, num_queries))

    def at_step(
        self, state: SparseState, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[SparseDraws, SparseState]:
        draws, base = self._base.at_step(state.base, key, count, num_queries, params)
        # Drawn as further queries than z has, so that the masks are independent of it.
        uniform, _ = _Uniform().at_step((), key, count, 2 * num_queries, params)
        masks = dataclasses.replace(uniform, words=uniform.words[num_queries:])
        return SparseDraws(draws, masks, state.keep), state._replace(base=base)

    def after_step(
        self, state: SparseState, draws: Any, slopes: Array, usable: Array, params: Params
    ) -> SparseState:
        base = self._base.after_step(state.base, draws.base, slopes, usable, params)
        return state._replace(base=base)


@dataclasses.dataclass(frozen=True)
class _Uniform(ElementwiseDirection):
    """Uniform on [0, 1): not a direction, but drawn like one, by rows, tiles and layers."""

    def from_bits(self, bits: Array) -> Array:
        return (bits >> 8).astype(jnp.float32) * 2.0**-24


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SparseDraws(Draws):
    """Draws in which every query has its own mask.

    Attributes:
      base: Those of z′.
      masks: Those of the uniform numbers.
      keep: float32 [n]: the share of each leaf's elements that stay.
    """

    base: Draws
    masks: SampledDraws
    keep: Array

    @property
    def num_queries(self) -> int:
        return self.base.num_queries

    def query(self, index: int | Array) -> Noises:
        return self._masked(self.base.query(index), self.masks.query(index))

    def queries(self) -> Noises:
        return self._masked(self.base.queries(), self.masks.queries())

    def repeated(self, times: int) -> Self:
        base, masks = (draws.repeated(times) for draws in (self.base, self.masks))
        return dataclasses.replace(self, base=base, masks=masks)

    def after(self, values: Array) -> Self:
        base, masks = (draws.after(values) for draws in (self.base, self.masks))
        return dataclasses.replace(self, base=base, masks=masks)

    def _masked(self, noises: Noises, uniforms: Noises) -> Noises:
        return [
            None if z is None or uniform is None else SparseNoise(z, uniform, keep)
            for z, uniform, keep in zip(noises, uniforms, self.keep, strict=True)
        ]


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
    def query_axes(self) -> Any:
        noise, uniform = self.noise.query_axes, self.uniform.query_axes
        return dataclasses.replace(self, noise=noise, uniform=uniform, keep=None)

    @property
    def random_access(self) -> bool:
        return self.noise.random_access and self.uniform.random_access

    @property
    def in_memory(self) -> bool:
        return self.noise.in_memory

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._masked(self.noise.draw(shape), self.uniform.draw(shape))

    def applied(self, slope: Array, parameter: Array) -> Array:
        uniform = drawn_at(self.uniform, parameter)
        return self._masked(self.noise.applied(slope, parameter), uniform)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        noise, held = self.noise.tied(values)
        uniform, held = self.uniform.tied(held)
        return dataclasses.replace(self, noise=noise, uniform=uniform), held

    def in_loop(self, counter: Array) -> Self:
        noise, uniform = self.noise.in_loop(counter), self.uniform.in_loop(counter)
        return dataclasses.replace(self, noise=noise, uniform=uniform)

    def after(self, zero: Array) -> Self:
        noise, uniform = self.noise.after(zero), self.uniform.after(zero)
        return dataclasses.replace(self, noise=noise, uniform=uniform)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self._masked(self.noise.rows(shape, rows), self.uniform.rows(shape, rows))

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        parts = (noise.block(shape, axis, first, size) for noise in (self.noise, self.uniform))
        return self._masked(*parts)

    def slices(self, shape: tuple[int, ...]) -> Any:
        return self.noise.slices(shape), self.uniform.slices(shape)

    def slice(self, part: Any) -> SparseNoise:
        noise, uniform = part
        return SparseNoise(self.noise.slice(noise), self.uniform.slice(uniform), self.keep)

    def _masked(self, z: Array, uniform: Array) -> Array:
        return jnp.where(uniform < self.keep, z, 0.0)


@jax.jit
def _shares_below_quantile(leaves: list[Array], sparsity: Array) -> Array:
    """The share of each leaf's magnitudes under the quantile of all, float32 [n]; 0 for integers.

    The bits of positive float32 numbers are ordered as the numbers are, so 31 halvings of the range
    of bits find the quantile, without a sort or a copy. Numbers equal to it count in part, so that
    the shares add up to the sparsity asked for also where many parameters are the same.
    """
    floating = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    sizes = jnp.array([leaves[i].size for i in floating], jnp.float32)

    def shares(bound: Array) -> Array:
        return jnp.stack([jnp.mean(_magnitude(leaves[i]) < bound) for i in floating])

    def total(share: Array) -> Array:
        return jnp.sum(share * sizes) / jnp.sum(sizes)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) // 2
        below = total(shares(middle)) <= sparsity
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, _ = lax.fori_loop(0, 31, halve, (jnp.uint32(0), jnp.uint32(2**31)))
    under, up_to = shares(low), shares(low + 1)
    equal = total(up_to) - total(under)
    part = jnp.where(equal > 0, (sparsity - total(under)) / jnp.maximum(equal, 1e-30), 0.0)
    found = under + jnp.clip(part, 0.0, 1.0) * (up_to - under)
    return jnp.zeros(len(leaves), jnp.float32).at[jnp.array(floating)].set(found)


def _magnitude(leaf: Array) -> Array:
    return lax.bitcast_convert_type(jnp.abs(leaf.astype(jnp.float32)), jnp.uint32)

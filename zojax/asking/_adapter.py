"""A point's perturbation as a low-rank adapter."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array
from zojax.coordinates import slash_paths
from zojax.directions import LeafNoise, LowRankNoise, ScaledNoise, SubspaceNoise, drawn_at
from zojax.streaming import Moved


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Factors:
    """What a point adds to one matrix, or to each of a stack: the product of a and b.

    Attributes:
      a: float32 ``[*stack, *rows, r]``; the perturbation's scale is in it.
      b: float32 ``[*stack, r, *columns]``.
      stack: How many leading axes of both number matrices. (Rows may number matrices too: of a
        stack of layers [l, m, n], :class:`zojax.LowRank` has a of [l, m, r] and one b for all.)
    """

    a: Array
    b: Array
    stack: int = dataclasses.field(metadata={"static": True})

    def delta(self) -> Array:
        """The product, float32, of the parameter's shape."""
        stack, rank = self.a.shape[: self.stack], self.a.shape[-1]
        left = self.a.reshape(*stack, -1, rank)
        right = self.b.reshape(*stack, rank, -1)
        product = jnp.matmul(left, right, precision=lax.Precision.HIGHEST)
        return product.reshape(*self.a.shape[:-1], *self.b.shape[self.stack + 1 :])


class Adapter(NamedTuple):
    """What a point adds to the parameters, by their paths, such as ``"layers/q/kernel"``.

    Parameters that the point leaves as they are have no entry.
    """

    matrices: dict[str, Factors]  # of leaves of two axes or more
    vectors: dict[str, Array]  # float32, what is added to a bias or a norm: of the leaf's shape


def adapter_of(params: Any, moved: Any) -> Adapter:
    """The adapter of parameters at a point.

    Args:
      params: θ.
      moved: A tree like it, with a :class:`zojax.streaming.Moved` for each leaf that moves.

    Raises:
      ValueError: A matrix moves along a direction of full rank.
    """
    found = Adapter({}, {})
    for path, leaf in zip(slash_paths(params), jax.tree.leaves(moved), strict=True):
        if not isinstance(leaf, Moved):
            continue
        shape = leaf.leaf.shape
        if len(shape) <= 1:
            found.vectors[path] = leaf.scale * drawn_at(leaf.noise, leaf.leaf)
            continue
        factors = _factors(leaf.noise, leaf.scale, shape)
        if factors is None:
            raise ValueError(
                "Point.adapter: a matrix must move along a product of two thin factors, as those "
                f"of zojax.LowRank and zojax.subspace do, got {path!r} along a direction of full "
                'rank. Give direction="low_rank", or use Point.params.'
            )
        found.matrices[path] = factors
    return found


def _factors(noise: LeafNoise, scale: Array, shape: tuple[int, ...]) -> Factors | None:
    if isinstance(noise, ScaledNoise):
        return _factors(noise.noise, scale * noise.scale, shape)
    if isinstance(noise, LowRankNoise):
        a, factor, b = noise.factors(shape)
        return Factors(jnp.moveaxis(a, 0, -1) * (scale * jnp.float32(factor)), b, 0)
    if isinstance(noise, SubspaceNoise):
        a, b = noise.pair(shape)
        return Factors(jnp.moveaxis(a, noise.seen.stack, -1) * scale, b, noise.seen.stack)
    return None

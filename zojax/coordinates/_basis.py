"""The bases of a subspace: their undrawn factors, and what makes these orthonormal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zojax._mesh import mesh_of
from zojax._types import Array
from zojax.coordinates._subspace_plan import Plan
from zojax.directions import (
    GivenNoise,
    LeafNoise,
    Matrices,
    SubspaceNoise,
    leaf_words,
    thin_factors,
)

# The query that is told apart from a direction's, of which the same key may draw the numbers.
_STREAM = 0xBA5E5000
# What is added to the diagonal of an AAᵀ that may be singular to float32, by its size.
_SHIFT = 1e-5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Factor:
    """A factor that is not drawn.

    Attributes:
      noise: Its elements.
      shape: [*stack, r, *axes].
      stack: How many leading axes number factors.
    """

    noise: LeafNoise
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    stack: int = dataclasses.field(metadata={"static": True})

    @property
    def rounds(self) -> int:
        """How often its rows are made orthonormal, until they are so to float32."""
        rank, size = self.shape[self.stack], math.prod(self.shape[self.stack + 1 :])
        return 3 if 4 * rank > size else 1


def factors(
    plan: Plan, key: Array, period: Array, params: Any
) -> list[tuple[LeafNoise | None, LeafNoise | None]]:
    """A and B of every leaf, not drawn; None for a side without a basis.

    Args:
      plan: Of these parameters.
      key: Typed key [].
      period: int32 []: the number of the bases.
      params: θ; paths, shapes and the mesh are read.
    """
    words = leaf_words(key, period, 1, params, first=_STREAM)[0]
    wanted = [
        (leaf, side, shape)
        for leaf, (x, seen) in enumerate(zip(jax.tree.leaves(params), plan.seen, strict=True))
        if seen is not None
        for side, shape in enumerate(_shapes(plan, x.shape, seen))
        if shape is not None
    ]
    drawn = thin_factors(words, [(leaf, shape) for leaf, _, shape in wanted], mesh_of(params))
    found: list[list[LeafNoise | None]] = [[None, None] for _ in plan.seen]
    for (leaf, side, _), noise in zip(wanted, drawn, strict=True):
        found[leaf][side] = noise
    return [(left, right) for left, right in found]


def _shapes(plan: Plan, shape: tuple[int, ...], seen: Matrices) -> list[tuple[int, ...] | None]:
    """The shapes of A and B."""
    stack, (left, right) = shape[: seen.stack], plan.ranks(seen.sizes(shape))
    return [
        None if plan.sides == "right" else (*stack, left, *seen.row_axes(shape)),
        None if plan.sides == "left" else (*stack, right, *seen.column_axes(shape)),
    ]


def whiteners(plan: Plan, key: Array, period: Array, params: Any) -> list[tuple[Any, Any]]:
    """L⁻¹ of both sides of every leaf: the rows of L⁻¹A are orthonormal, and drawn by Haar.

    L is the Cholesky factor of AAᵀ, with a positive diagonal, so that this is the QR decomposition
    whose factor is unique. Where A is nearly square, AAᵀ is badly conditioned: there it is done
    three times, first with a shift, and they are as orthonormal as A is well conditioned.

    Returns:
      float32 [*stack, r, r] for each side with a basis; None for others, and for all where the
      basis is not to be orthonormal.
    """
    leaves = jax.tree.leaves(params)
    found: list[list[Array | None]] = [[None, None] for _ in leaves]
    if plan.basis == "haar":
        pairs = factors(plan, key, period, params)
        sides = {
            (leaf, side): Factor(noise, shape, seen.stack)
            for leaf, (x, seen) in enumerate(zip(leaves, plan.seen, strict=True))
            if seen is not None
            for side, (noise, shape) in enumerate(
                zip(pairs[leaf], _shapes(plan, x.shape, seen), strict=True)
            )
            if noise is not None and shape is not None
        }
        # Compiled for init, which is called outside of jit.
        inverses = jax.jit(_orthonormal)([*sides.values()])
        for (leaf, side), inverse in zip(sides, inverses, strict=True):
            found[leaf][side] = inverse
    return [(left, right) for left, right in found]


def _orthonormal(sides: Sequence[Factor]) -> list[Array]:
    """L⁻¹ of each side."""
    groups: dict[Any, list[int]] = {}
    for i, side in enumerate(sides):
        groups.setdefault(side.shape if side.stack else i, []).append(i)
    inverses = _orthonormal_groups(
        [_stacked([sides[i] for i in group]) for group in groups.values()]
    )
    found: dict[int, Array] = {}
    for group, inverse in zip(groups.values(), inverses, strict=True):
        for place, i in enumerate(group):
            found[i] = inverse[:, place] if sides[i].stack else inverse
    return [found[i] for i in range(len(sides))]


def _stacked(sides: Sequence[Factor]) -> Factor:
    """Stacks of one shape as one stack, [length, number of them, …]: they are drawn together."""
    side = sides[0]
    if not side.stack:
        return side
    parts = jnp.stack([side.noise.slices(side.shape) for side in sides], axis=1)
    shape = (side.shape[0], len(sides), *side.shape[1:])
    return Factor(side.noise.slice(parts), shape, side.stack + 1)


def _orthonormal_groups(sides: Sequence[Factor]) -> list[Array]:
    found: list[Array | None] = [None] * len(sides)
    for turn in range(max((side.rounds for side in sides), default=0)):
        which = [i for i, side in enumerate(sides) if side.rounds > turn]
        grams = _grams([sides[i] for i in which], [found[i] for i in which])
        if turn == 0:
            grams = [
                gram + _SHIFT * _mean_square(gram) if sides[i].rounds > 1 else gram
                for i, gram in zip(which, grams, strict=True)
            ]
        for i, inverse in zip(which, _inverse_cholesky(grams), strict=True):
            before = found[i]
            found[i] = inverse if before is None else _product(inverse, before)
    return [inverse for inverse in found if inverse is not None]


def _grams(sides: Sequence[Factor], before: Sequence[Array | None]) -> list[Array]:
    """AAᵀ, float32 [*stack, r, r], of each L⁻¹A where an L⁻¹ is there.

    Stacks of one length are in one loop, for each loop compiles for long: a layer of all is drawn
    at a time.
    """
    found: list[Any] = [
        None if side.stack else _gram(side, inverse)
        for side, inverse in zip(sides, before, strict=True)
    ]
    for length in sorted({side.shape[0] for side in sides if side.stack}):
        which = [i for i, side in enumerate(sides) if side.stack and side.shape[0] == length]

        def layer(parts: list[Any], which: list[int] = which) -> list[Array]:
            layers = [
                Factor(sides[i].noise.slice(noise), sides[i].shape[1:], sides[i].stack - 1)
                for i, (noise, _) in zip(which, parts, strict=True)
            ]
            return [_gram(one, inverse) for one, (_, inverse) in zip(layers, parts, strict=True)]

        stacks = [(sides[i].noise.slices(sides[i].shape), before[i]) for i in which]
        for i, gram in zip(which, lax.map(layer, stacks), strict=True):
            found[i] = gram
    return found


def _gram(side: Factor, before: Array | None) -> Array:
    drawn = side.noise.draw(side.shape).reshape(*side.shape[: side.stack + 1], -1)
    drawn = drawn if before is None else _product(before, drawn)
    return _product(drawn, jnp.swapaxes(drawn, -1, -2))


def _inverse_cholesky(grams: Sequence[Array]) -> list[Array]:
    """L⁻¹ of each [*stack, r, r]; those of one r in one call, for each call compiles for long."""
    found: list[Any] = [None] * len(grams)
    for rank in {gram.shape[-1] for gram in grams}:
        which = [i for i, gram in enumerate(grams) if gram.shape[-1] == rank]
        flat = jnp.concatenate([grams[i].reshape(-1, rank, rank) for i in which])
        lower = jnp.linalg.cholesky(flat)
        identity = _identity(flat.shape, flat.dtype)
        inverse = lax.linalg.triangular_solve(lower, identity, left_side=True, lower=True)
        for i in which:
            number = grams[i].size // rank**2
            found[i], inverse = inverse[:number].reshape(grams[i].shape), inverse[number:]
    return found


def _mean_square(gram: Array) -> Array:
    """The mean of the diagonal, times the identity."""
    mean = jnp.trace(gram, axis1=-2, axis2=-1) / gram.shape[-1]
    return mean[..., None, None] * _identity(gram.shape, gram.dtype)


def offsets(
    plan: Plan, key: Array, period: Array, params: Any, coordinates: Any, inverses: Any
) -> list[LeafNoise]:
    """What the coordinates add to every leaf, not yet drawn.

    Args:
      plan, key, period, params: As for :func:`factors`.
      coordinates: S, or an offset, of each leaf that moves.
      inverses: As :func:`whiteners` gives them.
    """
    leaves = jax.tree.leaves(params)
    given = iter(jax.tree.leaves(coordinates))
    noises: list[LeafNoise] = []
    for leaf, pair in enumerate(factors(plan, key, period, params)):
        seen = plan.seen[leaf]
        if seen is None:
            noises.append(GivenNoise(next(given)))
        else:
            core = _core(plan, next(given), *inverses[leaf])
            core *= np.float32(plan.scale(leaves[leaf].shape, seen))
            noises.append(SubspaceNoise(*pair, core, seen))
    return noises


def _core(plan: Plan, s: Array, left: Array | None, right: Array | None) -> Array:
    """What stands between A and B, or in the place of one of them."""
    if plan.sides == "right":
        s = s if right is None else _product(s, right)
        return jnp.swapaxes(s, -1, -2)
    if plan.sides == "diagonal":
        if left is None or right is None:
            return s[..., :, None] * _identity((*s.shape, s.shape[-1]), s.dtype)
        return _product(jnp.swapaxes(left, -1, -2) * s[..., None, :], right)
    s = s if left is None else _product(jnp.swapaxes(left, -1, -2), s)
    return s if right is None else _product(s, right)


def _identity(shape: tuple[int, ...], dtype: Any) -> Array:
    return jnp.broadcast_to(jnp.eye(shape[-1], dtype=dtype), shape)


def _product(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)

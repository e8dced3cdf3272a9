"""Products with a large perturbed weight, a part of it at a time."""

import contextlib
import math
from collections.abc import Generator, Sequence
from contextvars import ContextVar
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend import core

from zojax._types import Array
from zojax.streaming._perturbed import Perturbed, perturb

TILE_BYTES = 2**22
MOST_TILES = 32
"""The perturbed parts have this size, or are so many: each reads the other factor again."""

LARGE_BYTES = 2**25
LARGE_FRACTION = 1 / 64
"""A weight is perturbed in parts if it has this size and this share of all parameters.

Below, a perturbed copy costs little, and a product in parts costs time to compile and to run.
"""


_model_bytes: ContextVar[int] = ContextVar("model_bytes", default=0)


def large_bytes(leaves: Sequence[Array]) -> int:
    """Size in bytes from which a weight is perturbed in parts."""
    total = sum(leaf.nbytes for leaf in leaves)
    return max(LARGE_BYTES, int(LARGE_FRACTION * max(total, _model_bytes.get())))


@contextlib.contextmanager
def part_of_model(nbytes: int) -> Generator[None]:
    """Trace steps of a few layers as those of a model of so many bytes: with its parts."""
    token = _model_bytes.set(nbytes)
    try:
        yield
    finally:
        _model_bytes.reset(token)


def tiled_dot(eqn: core.JaxprEqn, operands: list[Any]) -> list[Array] | None:
    """A product of which one factor is a large perturbed weight, or None where it is not so.

    The weight is cut along one of its axes that the product keeps. Each part is perturbed,
    multiplied, and written to its place in the result, so that no more than a part lives at a time;
    the numbers are those of the whole product.
    """
    sides = [i for i, x in enumerate(operands) if isinstance(x, Perturbed)]
    if len(sides) != 1:
        return None
    [side] = sides
    weight: Perturbed = operands[side]
    axes = _kept_axes(eqn.params["dimension_numbers"], side, weight)
    if axes is None or not _large(weight):
        return None
    weight, (other,) = weight.tied([operands[1 - side]])
    axis, out_axis = axes
    shape = weight.weight.shape
    count = min(math.ceil(_nbytes(weight) / TILE_BYTES), MOST_TILES)
    size = math.ceil(shape[axis] / count)

    def product(first: Array) -> Array:
        part = lax.dynamic_slice_in_dim(weight.weight, first, size, axis)
        z = weight.noise.block(shape, axis, first, size)
        perturbed = weight.viewed(perturb(part, z, weight.scale))
        factors = (perturbed, other) if side == 0 else (other, perturbed)
        result: Any = eqn.primitive.bind(*factors, **eqn.primitive.get_bind_params(eqn.params))
        return result

    def add_part(index: Array, result: Array) -> Array:
        # The last part overlaps the one before it where the sizes do not divide.
        first = jnp.minimum(index * size, shape[axis] - size)
        return lax.dynamic_update_slice_in_dim(result, product(first), first, out_axis)

    # The others are written beside the first: zeros to begin with would be laid out for both
    # losses at once, for they wait for nothing.
    first = product(jnp.int32(0))
    padding = [(0, 0, 0)] * first.ndim
    padding[out_axis] = (0, shape[axis] - size, 0)
    result = lax.pad(first, jnp.zeros((), first.dtype), padding)
    return [lax.fori_loop(1, math.ceil(shape[axis] / size), add_part, result)]


def _large(weight: Perturbed) -> bool:
    return weight.large is not None and _nbytes(weight) >= weight.large


def _nbytes(weight: Perturbed) -> int:
    return weight.weight.size * weight.weight.dtype.itemsize


def _kept_axes(dims: Any, side: int, weight: Perturbed) -> tuple[int, int] | None:
    """The longest axis of a weight that a product keeps, and that axis in the result."""
    if not weight.noise.random_access:
        return None
    order = weight.axes()
    if order is None:
        return None
    contracting, batch = dims
    used = {*contracting[side], *batch[side]}
    kept = [axis for axis in range(len(order)) if axis not in used]
    if not kept:
        return None
    longest = max(kept, key=lambda axis: weight.weight.shape[order[axis]])
    # The result's axes: batch, then those kept of the left factor, then those of the right.
    place = kept.index(longest)
    return order[longest], len(batch[0]) + place if side == 0 else place - len(kept)

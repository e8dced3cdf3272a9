"""A weight that is perturbed at the operation that consumes it: when, and how much at a time.

So is a quantized weight dequantized there, perturbed or not.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
from jax import lax
from jax.extend import core

from zojax._quantized import QuantizedArray, anchor
from zojax._types import Array
from zojax._xla import tied
from zojax.directions import GivenNoise, LeafNoise, SubspaceNoise, drawn_at, resharded

TILE_BYTES = 2**22
MOST_TILES = 128
"""The perturbed parts have this size, or are so many: each reads the other factor again."""

LARGE_BYTES = 2**25
LARGE_FRACTION = 1 / 64
"""A weight is perturbed in parts if it has this size and this share of all parameters.

Below, a perturbed copy costs little, and a product in parts costs time to compile and to run.
"""


@dataclasses.dataclass(frozen=True)
class View:
    """One operation on the shape or dtype of a weight, put off until the weight is consumed."""

    primitive: core.Primitive
    params: dict[str, Any]

    def __call__(self, x: Array) -> Array:
        return self.primitive.bind(x, **self.params)  # pyright: ignore[reportReturnType]


@dataclasses.dataclass(frozen=True)
class Perturbed:
    """θ + scale·z of one leaf, not yet computed.

    Attributes:
      weight: The parameter, any floating dtype, or a quantized one; never written.
      noise: Its undrawn z; None for a quantized weight that is not perturbed.
      scale: float32 []: ±ε.
      large: Bytes from which a product with it is done in parts; None for never.
      views: Operations between the perturbed weight and what this stands for.
      differentiated: Whether the loss is differentiated with respect to the scale.
    """

    weight: Array | QuantizedArray
    noise: LeafNoise | None
    scale: Array
    large: int | None
    views: tuple[View, ...] = ()
    differentiated: bool = False

    def view(self, view: View) -> "Perturbed":
        return dataclasses.replace(self, views=(*self.views, view))

    def tied(self, values: list[Array]) -> tuple["Perturbed", list[Array]]:
        """The same weight, perturbed only once ``values`` are there; and the values."""
        weight, noise = self.weight, self.noise
        if noise is not None:
            noise, values = noise.tied(values)
        if isinstance(weight, QuantizedArray):
            # Its integers wait, too: they would be dequantized early, and kept. Its scales may be
            # perturbed themselves, where they are consumed.
            integers, values = tied(weight.qvalue, values)
            weight = dataclasses.replace(weight, qvalue=integers)
        return dataclasses.replace(self, weight=weight, noise=noise), values

    def after(self, zero: Array) -> "Perturbed":
        """The same weight, perturbed only once ``zero`` is there, an int32 [] of 0."""
        weight, noise = self.weight, self.noise and self.noise.after(zero)
        if isinstance(weight, QuantizedArray):
            weight = dataclasses.replace(weight, qvalue=tied(weight.qvalue, zero)[0])
        return dataclasses.replace(self, weight=weight, noise=noise)

    @property
    def random_access(self) -> bool:
        """Whether a part of it can be computed alone."""
        return self.noise is None or self.noise.random_access

    def beside(self, weight: Array) -> "Perturbed":
        """The same on the other side of a border between kinds of a mesh's axes.

        Args:
          weight: The parameter, there.
        """
        noise, scale = resharded((self.noise, self.scale), weight)
        return dataclasses.replace(self, weight=weight, noise=noise, scale=scale)

    def part(self, axis: int, first: Array, size: int) -> "Perturbed":
        """The part [first, first + size) on one axis of the weight, with the same views."""
        weight, noise, shape = self.weight, self.noise, self.weight.shape
        if isinstance(weight, QuantizedArray):
            weight = weight.part(axis, first, size)
        else:
            weight = lax.dynamic_slice_in_dim(weight, first, size, axis)
        if noise is None:
            return dataclasses.replace(self, weight=weight)
        if isinstance(noise, SubspaceNoise):
            return dataclasses.replace(
                self, weight=weight, noise=noise.part(shape, axis, first, size)
            )
        z = GivenNoise(noise.block(shape, axis, first, size))
        return dataclasses.replace(self, weight=weight, noise=z)

    def value(self) -> Array:
        """The perturbed weight, in its own dtype, after the views."""
        if self.noise is None:
            return self.base()
        z = drawn_at(self.noise, anchor(self.weight))
        return self.viewed(perturb(self.weight, z, self.scale))

    def base(self) -> Array:
        """The weight without noise, in its own dtype, after the views."""
        weight = self.weight
        return self.viewed(weight.dequantized() if isinstance(weight, QuantizedArray) else weight)

    def axes(self) -> tuple[int, ...] | None:
        """Where each axis of what this stands for lies in the weight; None if it is unclear."""
        axes = tuple(range(self.weight.ndim))
        for view in self.views:
            if view.primitive.name == "transpose":
                axes = tuple(axes[axis] for axis in view.params["permutation"])
            elif view.primitive.name != "convert_element_type":
                return None
        return axes

    def viewed(self, x: Array) -> Array:
        for view in self.views:
            x = view(x)
        return x


def perturb(weight: Array | QuantizedArray, z: Array, scale: Array) -> Array:
    """Gives weight + scale·z, added in float32 or wider and rounded once to the weight's dtype."""
    sum_dtype = wide(weight.dtype)
    quantized = isinstance(weight, QuantizedArray)
    own = weight.wide(sum_dtype) if quantized else weight.astype(sum_dtype)
    return (own + (scale * z).astype(sum_dtype)).astype(weight.dtype)


def wide(dtype: Any) -> Any:
    """The dtype in which a perturbation is added: float32, or float64 where the weight is."""
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


class Ties:
    """Ties of the weights of one computation to their activations.

    On one device each weight has a barrier of its own with the activations. Over several devices
    an activation that passes through three barriers is three for the partitioner, which may gather
    each: there it passes through one, and the weights that meet it wait for a zero from behind it.

    Args:
      shared: Whether weights share barriers: over several devices.
    """

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared
        self._passed: dict[tuple[int, ...], tuple[list[Array], Array, list[Array]]] = {}

    def inner(self) -> "Ties":
        """Ties within the body of a loop or branch, which must not leave it."""
        return Ties(shared=self.shared)

    def __call__(self, weight: Perturbed, values: Sequence[Array]) -> tuple[Perturbed, list[Array]]:
        """The weight, perturbed only once ``values`` are there; and the values to go on with."""
        if not self.shared:
            return weight.tied([*values])
        which = tuple(map(id, values))
        if which not in self._passed:
            zero: Any = jnp.zeros((), jnp.int32)
            zero, passed = tied(zero, [*values])
            # The values are kept, so that no other array takes their identity; and passed ones
            # that come back are known.
            self._passed[which] = [*values], zero, passed
            self._passed[tuple(map(id, passed))] = self._passed[which]
        _, zero, passed = self._passed[which]
        return weight.after(zero), passed


def large_bytes(leaves: Sequence[Array], model_bytes: int) -> int:
    """Size in bytes from which a weight is perturbed in parts.

    Args:
      leaves: The parameters.
      model_bytes: What the parameters are taken for where they are more: those of a few layers
        that stand for a whole model.
    """
    total = sum(leaf.nbytes for leaf in leaves)
    return max(LARGE_BYTES, int(LARGE_FRACTION * max(total, model_bytes)))


Multiply: TypeAlias = Callable[[core.JaxprEqn, list[Any], int], Array]
"""``multiply(eqn, operands, side)``: the product of operands of which one is perturbed."""


def formed_dot(eqn: core.JaxprEqn, operands: list[Any], side: int) -> Array:
    """A product with a weight that is perturbed before it."""
    factors = [*operands]
    factors[side] = operands[side].value()
    result: Any = eqn.primitive.bind(*factors, **eqn.primitive.get_bind_params(eqn.params))
    return result


def tiled_dot(
    eqn: core.JaxprEqn, operands: list[Any], side: int, multiply: Multiply = formed_dot
) -> list[Array] | None:
    """A product of which one factor is a large perturbed weight, or None where it is not large.

    The weight is cut along one of its axes that the product keeps. Each part is perturbed,
    multiplied, and written to its place in the result, so that no more than a part lives at a time;
    the numbers are those of the whole product.
    """
    weight: Perturbed = operands[side]
    axes = _kept_axes(eqn.params["dimension_numbers"], side, weight)
    if axes is None or not _large(weight):
        return None
    weight, (other,) = weight.tied([operands[1 - side]])
    axis, out_axis = axes
    shape = weight.weight.shape
    out: Any = eqn.outvars[0].aval
    count = min(math.ceil(_nbytes(weight) / TILE_BYTES), MOST_TILES)
    size = math.ceil(shape[axis] / count)
    if isinstance(weight.weight, QuantizedArray):
        block = weight.weight.block(axis)
        size = math.ceil(size / block) * block  # a part begins and ends with a block

    def product(weight: Perturbed, other: Array) -> Array:
        return multiply(eqn, [weight, other] if side == 0 else [other, weight], side)

    def part(first: Array, other: Array) -> Array:
        return product(weight.part(axis, first, size), other)

    def in_parts(other: Array) -> Array:
        def add_part(index: Array, result: Array) -> Array:
            # The last part overlaps the one before it where the sizes do not divide.
            first = jnp.minimum(index * size, shape[axis] - size)
            return lax.dynamic_update_slice_in_dim(result, part(first, other), first, out_axis)

        # Zeros that wait for the other factor: others would be laid out for all losses at once.
        zero, other = tied(jnp.zeros((), out.dtype), other)
        result = jnp.broadcast_to(zero, out.shape)
        return lax.fori_loop(0, math.ceil(shape[axis] / size), add_part, result)

    # A TPU perturbs a weight within the product and keeps no copy of it. There the parts would
    # cost a second copy of the result, in the layout that their loop writes.
    return [lax.platform_dependent(other, tpu=lambda x: product(weight, x), default=in_parts)]


def _large(weight: Perturbed) -> bool:
    return weight.large is not None and _nbytes(weight) >= weight.large


def _nbytes(weight: Perturbed) -> int:
    return weight.weight.size * weight.weight.dtype.itemsize


def _kept_axes(dims: Any, side: int, weight: Perturbed) -> tuple[int, int] | None:
    """The longest axis of a weight that a product keeps, and that axis in the result."""
    if not weight.random_access:
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

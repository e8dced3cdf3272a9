"""A weight of few bits: its integers, their scales, and the array that they stand for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from zojax._types import Array


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedArray:
    r"""A weight as integers of few bits and a scale for each block of them: a node of a pytree.

    .. math:: w = s_b\,(q - z_b)

    The first fields are those of qwix's ``QArray``. They have as many axes; along each axis a block
    is as long as the integers' size over the scale's. A tree with such nodes is one of arrays for
    every optimizer, which leaves integers alone; :func:`zojax.subspace` sees each node as one
    weight.

    Attributes:
      qvalue: q, int8 or int4, of the weight's shape. It never moves.
      scale: s, floating; the weight has its dtype.
      zero_point: z, the integer that stands for 0, like ``qvalue`` in dtype and like ``scale`` in
        shape; None where it is 0.
      offset: What a subspace has gathered, a product of thin factors that is added to w, as
        :func:`zojax.folded` gives it; None for nothing.
    """

    qvalue: Any
    scale: Any
    zero_point: Any = None
    offset: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.qvalue.shape

    @property
    def ndim(self) -> int:
        return self.qvalue.ndim

    @property
    def size(self) -> int:
        return self.qvalue.size

    @property
    def dtype(self) -> Any:
        return self.scale.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the weight that it stands for."""
        return self.size * self.dtype.itemsize

    def block(self, axis: int) -> int:
        """The length of a block along an axis."""
        return self.shape[axis] // self.scale.shape[axis]

    def wide(self, dtype: Any) -> Array:
        """The weight without its offset, in a dtype in which integers of 8 bits are exact."""
        blocks = [each for axis in range(self.ndim) for each in self._blocks(axis)]
        ends = [each for size in self.scale.shape for each in (size, 1)]
        integers = self.qvalue.astype(dtype).reshape(blocks)
        if self.zero_point is not None:
            integers = integers - self.zero_point.astype(dtype).reshape(ends)
        return (integers * self.scale.astype(dtype).reshape(ends)).reshape(self.shape)

    def dequantized(self) -> Array:
        """The weight, in the scale's dtype; added in float32 and rounded once."""
        wide = jnp.float64 if self.dtype == jnp.float64 else jnp.float32
        weight = self.wide(wide)
        if self.offset is not None:
            weight = weight + self.offset.draw(self.shape).astype(wide)
        return weight.astype(self.dtype)

    def layers(self) -> Iterator[QuantizedArray]:
        """The elements of the first axis, if each has scales of its own; otherwise itself."""
        if self.ndim < 3 or not self.has_rows():
            yield self
            return
        offset = self.offset
        for i in range(self.shape[0]):
            integers, scale, zero = jax.tree.map(
                lambda x, i=i: x[i], (self.qvalue, self.scale, self.zero_point)
            )
            parts = offset and jax.tree.map(lambda x, i=i: x[i], offset.slices(self.shape))
            yield QuantizedArray(integers, scale, zero, offset and offset.slice(parts))

    def part(self, axis: int, first: Array, size: int) -> QuantizedArray:
        """The part [first, first + size) on one axis, which must begin and end with a block.

        Of a weight without an offset.
        """
        block = self.block(axis)

        def cut(x: Array) -> Array:
            if x.shape[axis] == 1 < self.shape[axis]:
                return x
            if x.shape[axis] == self.shape[axis]:
                return lax.dynamic_slice_in_dim(x, first, size, axis)
            return lax.dynamic_slice_in_dim(x, first // block, size // block, axis)

        return jax.tree.map(cut, self)

    def has_rows(self) -> bool:
        """Whether each element of the first axis has scales of its own."""
        return self.block(0) == 1

    def _blocks(self, axis: int) -> tuple[int, int]:
        return self.scale.shape[axis], self.block(axis)


jax.tree_util.register_dataclass(
    QuantizedArray, data_fields=["qvalue", "scale", "zero_point", "offset"], meta_fields=[]
)


class Whole(QuantizedArray):
    """A quantized weight that is one leaf of a tree: JAX knows no children of this class."""

    @property
    def opened(self) -> QuantizedArray:
        """The node."""
        return QuantizedArray(self.qvalue, self.scale, self.zero_point, self.offset)


def is_quantized(node: Any) -> bool:
    """Whether a node is a quantized weight, and not a part or an update of one."""
    if not isinstance(node, QuantizedArray):
        return False
    return node.scale is not None and jnp.ndim(node.qvalue) > 0 and jnp.ndim(node.scale) > 0


def wholes(tree: Any) -> Any:
    """The tree in which every quantized weight is one leaf."""

    def closed(node: Any) -> Any:
        if not is_quantized(node):
            return node
        return Whole(node.qvalue, node.scale, node.zero_point, node.offset)

    return jax.tree.map(closed, tree, is_leaf=is_quantized)


def opened(leaf: Any) -> Any:
    """A leaf of :func:`wholes` as a tree of arrays."""
    return leaf.opened if isinstance(leaf, Whole) else leaf


def without_offset(leaf: Any) -> Any:
    """A leaf of :func:`wholes` as a tree of arrays, without its offset."""
    return dataclasses.replace(leaf.opened, offset=None) if isinstance(leaf, Whole) else leaf


def abstract(leaf: Any) -> Any:
    """What a leaf of :func:`wholes` stands for, as a shape and a dtype; an array as it is."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, Whole) else leaf


def any_quantized(tree: Any) -> bool:
    """Whether a tree has a quantized weight."""
    return any(map(is_quantized, jax.tree.leaves(tree, is_leaf=is_quantized)))


def mapped(function: Callable[[QuantizedArray], Any], tree: Any) -> Any:
    """The tree with the function of every quantized weight in its place."""
    return jax.tree.map(
        lambda node: function(node) if is_quantized(node) else node, tree, is_leaf=is_quantized
    )


def anchor(leaf: Any) -> Any:
    """The array that says where a leaf of :func:`wholes` lies."""
    return leaf.qvalue if isinstance(leaf, QuantizedArray) else leaf

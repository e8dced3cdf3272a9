"""Weights to integers of few bits, and back."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from zojax import _check
from zojax._quantized import QuantizedArray, mapped
from zojax._types import Array, Params
from zojax.coordinates import Where, selected, slash_paths, stacked

Bits: TypeAlias = Literal["int8", "int4"]
BITS: tuple[str, ...] = get_args(Bits)
_EMBEDDINGS = ("embed", "wte", "wpe")
_HEADS = ("head", "score", "classifier")


def quantize(
    params: Params,
    bits: Bits,
    *,
    block: int = 64,
    zero_point: bool = False,
    where: Where | None = None,
) -> Params:
    r"""Replaces weights by integers of few bits, with a scale for each block of them.

    .. math:: q = \mathrm{round}(w / s), \quad s = \max_b |w| / (2^{n-1} - \tfrac12), \qquad
        \text{or}\quad q = \mathrm{round}(w / s + z), \quad s = (\max_b w - \min_b w) / (2^n - 1)

    Blocks lie along the axis that a product sums over: the last but one of a kernel, and the last
    of an embedding, whose rows are taken. The integers and scales are those of ``qwix.quantize``
    with these blocks, of which calibration that looks at activations may give better ones:
    :func:`from_qwix`.

    Args:
      params: Parameters, any pytree of arrays.
      bits: ``"int8"`` or ``"int4"``.
      block: The most weights of one scale, ≥ 8; the largest divisor of the axis up to that is
        taken, and the whole axis where it is shorter.
      zero_point: Whether a block is [min, max], with the integer that stands for 0, or symmetric.
      where: Which weights, as for :func:`zojax.select`. By default all of two axes or more, stacked
        layers not counted, except embeddings, position tables and heads, which the loss reads in
        few rows or is the most sensitive to.

    Returns:
      The tree with :class:`QuantizedArray` nodes in their places. The scales have the weights'
      dtype.

    Cost: each weight is read once; the peak is a weight in float32 beside the tree.
    Error: at most half a scale for each weight: ‖w − w'‖ / ‖w‖ is about 0.7 % in int8 and 10 % in
      int4, for blocks of 64 normal weights.

    Raises:
      ValueError: ``bits`` is unknown, ``block`` < 8, ``where`` names no weight, or a weight that it
        names has one axis, is no floating-point one, or is cut by no divisor of 8 … ``block``.

    Examples:
      >>> import jax, zojax
      >>> params = {"dense": {"kernel": jax.numpy.ones((128, 32)), "bias": jax.numpy.ones(32)}}
      >>> packed = zojax.quantized.quantize(params, "int4")
      >>> jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", packed)["dense"]["kernel"].scale
      'float32[2, 32]'
    """
    _check.one_of("quantize", "bits", bits, BITS)
    _check.count("quantize", "block", block)
    if block < 8:
        raise ValueError(f"quantize: block must be >= 8, got {block}.")
    _check.flag("quantize", "zero_point", zero_point)
    leaves, tree = jax.tree.flatten(params)
    paths, in_stack = slash_paths(params), stacked(params)
    chosen = (
        [_usual(*leaf) for leaf in zip(paths, leaves, in_stack, strict=True)]
        if where is None
        else selected("quantize", where, params)
    )
    if not any(chosen):
        raise ValueError(
            "quantize: params must have a weight of two axes that is no embedding and no head, got "
            f"{paths[:5]}. Name the weights by where."
        )
    # One after the other, so that no two are in float32 at once.
    quantized = [
        _quantized(path, leaf, bits, block, zero_point) if is_chosen else leaf
        for path, leaf, is_chosen in zip(paths, leaves, chosen, strict=True)
    ]
    return jax.tree.unflatten(tree, quantized)


def dequantize(params: Params) -> Params:
    """The tree with the arrays that quantized weights stand for in their places.

    Cost: a copy of these weights in their own dtype.
    """
    return mapped(_dequantized, params)


def from_qwix(params: Params) -> Params:
    """The tree of a model that qwix has quantized, with :class:`QuantizedArray` nodes.

    It needs no qwix: what has a ``qvalue``, a ``scale`` and a ``zero_point`` is taken, also within
    the ``array`` of qwix's ``WithAux``.

    Raises:
      ValueError: The integers are none of int8 and int4 (such as those that stand for nf4).
    """

    def found(node: Any) -> Any:
        array = getattr(node, "array", node)
        return array if hasattr(array, "qvalue") and hasattr(array, "scale") else None

    def taken(node: Any) -> Any:
        array = found(node)
        if array is None:
            return node
        kind = str(getattr(array, "qtype", None) or array.qvalue.dtype)
        if jnp.dtype(array.qvalue.dtype).name not in BITS or "int" not in kind:
            raise ValueError(f"from_qwix: integers must be one of {', '.join(BITS)}, got {kind}.")
        return QuantizedArray(array.qvalue, array.scale, array.zero_point)

    return jax.tree.map(taken, params, is_leaf=lambda node: found(node) is not None)


def _usual(path: str, leaf: Any, in_stack: bool) -> bool:
    names = path.lower()
    apart = any(name in names for name in (*_EMBEDDINGS, *_HEADS))
    floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    return floating and jnp.ndim(leaf) - in_stack >= 2 and not apart


def _axis(path: str, ndim: int) -> int:
    """The axis of the blocks."""
    is_table = any(name in path.lower() for name in _EMBEDDINGS)
    return ndim - 1 if is_table else ndim - 2


def _quantized(path: str, leaf: Any, bits: Bits, block: int, zero_point: bool) -> QuantizedArray:
    shape, dtype = jnp.shape(leaf), jnp.result_type(leaf)
    if not jnp.issubdtype(dtype, jnp.floating) or len(shape) < 2:
        raise ValueError(
            f"quantize: where must name floating-point weights of two axes or more, got "
            f"{dtype}{list(shape)} at {path}."
        )
    axis = _axis(path, len(shape))
    size = shape[axis]
    found = next((n for n in range(min(block, size), 0, -1) if size % n == 0), 1)
    if found < min(8, size):
        raise ValueError(
            f"quantize: block must divide the axis of {size} weights of {path} into blocks of 8 or "
            f"more, got block={block}. Give a block that divides {size}, or leave it out by where."
        )
    packed = _packed(leaf, bits, axis, found, zero_point)
    return QuantizedArray(*packed)


def _integers(
    weight: Array, bits: Bits, axis: int, block: int, zero_point: bool
) -> tuple[Array, Array, Array | None]:
    shape, number = weight.shape, 2 ** int(bits.removeprefix("int"))
    split = (*shape[:axis], shape[axis] // block, block, *shape[axis + 1 :])
    # In the weight's own dtype, as qwix computes them.
    blocks = jnp.asarray(weight).reshape(split)
    own = blocks.dtype
    zero: Array | None = None
    if zero_point:
        low = jnp.minimum(blocks.min(axis + 1, keepdims=True), jnp.zeros((), own))
        high = jnp.maximum(blocks.max(axis + 1, keepdims=True), jnp.zeros((), own))
        scale = _positive((high - low) / jnp.asarray(number - 1, own))
        zero = jnp.round(jnp.asarray(-number // 2, own) - low / scale)
        zero = jnp.clip(zero, -number // 2, number // 2 - 1)
    else:
        bound = jnp.asarray((number - 1) / 2, own)
        scale = _positive(jnp.abs(blocks).max(axis + 1, keepdims=True) / bound)
    quotient = blocks / scale
    rounded = jnp.round(quotient if zero is None else quotient + zero)
    integers = jnp.clip(rounded, -number // 2, number // 2 - 1).astype(bits)
    of_blocks = (*shape[:axis], shape[axis] // block, *shape[axis + 1 :])
    zeros = None if zero is None else zero.astype(bits).reshape(of_blocks)
    return integers.reshape(shape), scale.reshape(of_blocks), zeros


def _positive(scale: Array) -> Array:
    """1 where a block is all zeros, whose scale could not be divided by."""
    least = jnp.sqrt(jnp.asarray(jnp.finfo(scale.dtype).tiny, scale.dtype))
    return jnp.where(scale < least, jnp.ones_like(scale), scale)


# Compiled, so that no copy of a weight but its integers is left behind.
_packed = jax.jit(_integers, static_argnums=(1, 2, 3, 4))
_dequantized: Any = jax.jit(QuantizedArray.dequantized)

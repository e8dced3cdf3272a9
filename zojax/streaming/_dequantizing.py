"""Functions of quantized weights, which are dequantized where they are consumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax

from zojax._quantized import any_quantized, wholes
from zojax._types import Params
from zojax.streaming._losses import traced

Tree = TypeVar("Tree")


def dequantizing(function: Callable[..., Tree]) -> Callable[..., Tree]:
    """A function of arrays as one of quantized weights, which come to life where it consumes them.

    No more than a weight is dequantized at a time, a layer's or a part of a large one, so that the
    function takes the memory of the integers. Optimizers see what moves: ``value_fn`` of an
    adapter's, of scales', or of those in a subspace.

    Args:
      function: ``function(params, *args, **kwargs)``: from a tree of arrays to one of arrays.

    Returns:
      The same of a tree in which any weights may be :class:`~zojax.quantized.QuantizedArray`. It
      can be traced by jit, grad and vmap; ``function`` is traced at every call.

    Cost: that of ``function``, and a product with the scales for every weight.

    Examples:
      >>> import jax, jax.numpy as jnp, zojax
      >>> params = {"w": jnp.linspace(-1.0, 1.0, 2048).reshape(64, 32)}
      >>> packed = zojax.quantized.quantize(params, "int8")
      >>> norm = lambda p: jnp.linalg.norm(p["w"])
      >>> near = zojax.quantized.dequantizing(norm)(packed)
      >>> bool(abs(near / norm(params) - 1) < 1e-2)
      True
    """

    def of_quantized(params: Params, *args: Any, **kwargs: Any) -> Tree:
        if not any_quantized(params):
            return function(params, *args, **kwargs)
        closed = wholes(params)
        perturbed = traced(lambda params: function(params, *args, **kwargs), closed)
        offsets = [getattr(leaf, "offset", None) for leaf in jax.tree.leaves(closed)]
        return perturbed(offsets, 1.0)

    return of_quantized

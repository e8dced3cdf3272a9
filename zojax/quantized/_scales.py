"""The scales of quantized weights, as what an optimizer moves."""

from __future__ import annotations

from typing import Any

import jax

from zojax._quantized import QuantizedArray, any_quantized, is_quantized
from zojax._types import Params


def scales(params: Params) -> Any:
    """Which leaves of a tree are scales of quantized weights: for :func:`zojax.select`.

    Args:
      params: Parameters with :class:`QuantizedArray` nodes.

    Returns:
      A tree of bools like ``params``.

    Raises:
      ValueError: No weight is quantized.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> params = {"kernel": jnp.ones((64, 8)), "bias": jnp.ones(8)}
      >>> packed = zojax.quantized.quantize(params, "int8")
      >>> tx = zojax.select(
      ...     zojax.mezo(1e-7, eps=1e-3, key=0, slope_rule=zojax.slope_rules.clip(100.0)),
      ...     zojax.quantized.scales(packed),
      ... )
      >>> zojax.quantized.scales(packed)["bias"], zojax.quantized.scales(packed)["kernel"].scale
      (False, True)
    """
    if not any_quantized(params):
        raise ValueError(
            "scales: params must have quantized weights, got none. Call zojax.quantized.quantize."
        )

    def of(node: Any) -> Any:
        if not is_quantized(node):
            return jax.tree.map(lambda _: False, node)
        zero_point = None if node.zero_point is None else False
        return QuantizedArray(False, True, zero_point, jax.tree.map(lambda _: False, node.offset))

    return jax.tree.map(of, params, is_leaf=is_quantized)

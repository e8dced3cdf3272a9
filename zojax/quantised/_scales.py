"""The scales of quantised weights, as what an optimizer moves."""

from __future__ import annotations

from typing import Any

import jax

from zojax._quantised import QuantisedArray, any_quantised, is_quantised
from zojax._types import Params


def scales(params: Params) -> Any:
    """Which leaves of a tree are scales of quantised weights: for :func:`zojax.select`.

    Args:
      params: Parameters with :class:`QuantisedArray` nodes.

    Returns:
      A tree of bools like ``params``.

    Raises:
      ValueError: No weight is quantised.

    Examples:
      >>> import jax.numpy as jnp, zojax
      >>> params = {"kernel": jnp.ones((64, 8)), "bias": jnp.ones(8)}
      >>> packed = zojax.quantised.quantise(params, "int8")
      >>> tx = zojax.select(
      ...     zojax.mezo(1e-7, eps=1e-3, key=0, slope_rule=zojax.slope_rules.clip(100.0)),
      ...     zojax.quantised.scales(packed),
      ... )
      >>> zojax.quantised.scales(packed)["bias"], zojax.quantised.scales(packed)["kernel"].scale
      (False, True)
    """
    if not any_quantised(params):
        raise ValueError(
            "scales: params must have quantised weights, got none. Call zojax.quantised.quantise."
        )

    def of(node: Any) -> Any:
        if not is_quantised(node):
            return jax.tree.map(lambda _: False, node)
        zero_point = None if node.zero_point is None else False
        return QuantisedArray(False, True, zero_point)

    return jax.tree.map(of, params, is_leaf=is_quantised)

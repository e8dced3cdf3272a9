"""A tree of parameters without its integers, which never move, and with them again."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from zojax.coordinates import part
from zojax.lm.models import Params
from zojax.quantized import QuantizedArray, any_quantized, is_quantized


def floats(params: Params) -> Params:
    """The tree without integers: what a run changes, and all that a checkpoint has to keep."""
    return part(params, _floating(params)) if any_quantized(params) else params


def with_integers(moving: Params, params: Params) -> Params:
    """What :func:`floats` gave, of these parameters as they stood at some step; with integers."""
    if not any_quantized(params):
        return moving

    def whole(without: Any, own: Any) -> Any:
        if not is_quantized(own):
            return without
        return dataclasses.replace(without, qvalue=own.qvalue, zero_point=own.zero_point)

    is_node = lambda node: isinstance(node, QuantizedArray)  # noqa: E731
    return jax.tree.map(whole, moving, params, is_leaf=is_node)


def _floating(params: Params) -> list[bool]:
    leaves: list[Any] = jax.tree.leaves(params)
    return [bool(jnp.issubdtype(leaf.dtype, jnp.floating)) for leaf in leaves]

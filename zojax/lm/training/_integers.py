"""A tree of parameters without its integers, which never move, and with them again."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from zojax.coordinates import merged, part
from zojax.lm.models import Params
from zojax.quantized import any_quantized


def floats(params: Params) -> Params:
    """The tree without integers: what a run changes, and all that a checkpoint has to keep."""
    return part(params, _floating(params)) if any_quantized(params) else params


def with_integers(moving: Params, params: Params) -> Params:
    """What :func:`floats` gave, with the integers of ``params``; any other tree as it is."""
    if not any_quantized(params):
        return moving
    flags = _floating(params)
    if jax.tree.structure(moving) != jax.tree.structure(part(params, flags)):
        return moving  # weights that a subspace was added to, and that are integers no more
    return merged(moving, flags, params)


def _floating(params: Params) -> list[bool]:
    leaves: list[Any] = jax.tree.leaves(params)
    return [bool(jnp.issubdtype(leaf.dtype, jnp.floating)) for leaf in leaves]

"""Losses of a perturbed copy of the parameters."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp

from zojax._quantized import anchor, opened
from zojax._types import Array, Params
from zojax.directions import Noises, drawn_at
from zojax.streaming._perturbed import perturb

Loss: TypeAlias = Callable[[Noises, Array | float], tuple[Array, Any]]
"""``loss(noises, scale)``: the value at θ + scale·z, float32 or float64 [], and its aux or None."""

Tree = TypeVar("Tree")
Evaluated: TypeAlias = Callable[[Params], tuple[Array, Any]]
"""The value at a tree of parameters, and its aux or None."""


def copied(
    function: Callable[[Params], Tree], params: Params
) -> Callable[[Noises, Array | float], Tree]:
    """As :func:`streamed`, of a perturbed copy of the parameters."""
    leaves, tree = jax.tree.flatten(params)
    leaves = [*map(opened, leaves)]

    def perturbed(noises: Noises, scale: Array | float) -> Tree:
        copy = _perturbed(leaves, noises, jnp.asarray(scale, jnp.float32))
        return function(jax.tree.unflatten(tree, copy))

    return perturbed


def in_place(evaluated: Evaluated, params: Params) -> Loss:
    leaves, tree = jax.tree.flatten(params)
    buffer: list[Array] | None = None

    def loss(noises: Noises, scale: Array | float) -> tuple[Array, Any]:
        nonlocal buffer
        scale = jnp.asarray(scale, jnp.float32)
        # From θ each time, not from the last point: steps of ±ε in the buffer itself would drift.
        if buffer is None:
            point = _perturbed(leaves, noises, scale)
        else:
            point = _rewritten(buffer, leaves, noises, scale)
        buffer = point
        return evaluated(jax.tree.unflatten(tree, point))

    return loss


@jax.jit
def _perturbed(leaves: list[Array], noises: Noises, scale: Array) -> list[Array]:
    return [
        leaf if noise is None else perturb(leaf, drawn_at(noise, anchor(leaf)), scale)
        for leaf, noise in zip(leaves, noises, strict=True)
    ]


def _rewrite(buffer: list[Array], leaves: list[Array], noises: Noises, scale: Array) -> list[Array]:
    del buffer  # its memory takes the result
    return _perturbed(leaves, noises, scale)


_rewritten = jax.jit(_rewrite, donate_argnums=0, keep_unused=True)

"""Parameters at a point, handed over before they are computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from zojax._quantized import anchor, opened
from zojax._types import Array, Params
from zojax.directions import LeafNoise, Noises, drawn_at
from zojax.streaming._copies import Loss
from zojax.streaming._perturbed import perturb


@dataclasses.dataclass(frozen=True)
class Moved:
    """A leaf of the parameters at a point: leaf + scale·z. Trees take it for a leaf.

    Attributes:
      leaf: The parameter.
      noise: Undrawn z.
      scale: float32 [].
    """

    leaf: Array
    noise: LeafNoise
    scale: Array

    def value(self) -> Array:
        """The leaf as ``evaluation="copy"`` makes it."""
        return perturb(self.leaf, drawn_at(self.noise, anchor(self.leaf)), self.scale)


def arrived(tree: Any) -> Any:
    """The tree with the value of each moved leaf."""
    return jax.tree.map(lambda x: x.value() if isinstance(x, Moved) else x, tree)


def at_point(params: Params, noises: Noises, scale: Array | float) -> Any:
    """The parameters with each leaf that a point moves as a :class:`Moved`."""
    leaves, tree = jax.tree.flatten(params)
    leaves = [*map(opened, leaves)]
    scale = jnp.asarray(scale, jnp.float32)
    return tree.unflatten(
        [
            leaf if noise is None else Moved(leaf, noise, scale)
            for leaf, noise in zip(leaves, noises, strict=True)
        ]
    )


def handed_over(value_fn: Callable[[Any], Any] | None, params: Params) -> Loss:
    """A loss that hands ``value_fn`` the parameters before they are computed."""

    def loss(noises: Noises, scale: Array | float) -> tuple[Array, Any]:
        if value_fn is not None:
            value_fn(at_point(params, noises, scale))
        return jnp.zeros((), jnp.float32), None

    return loss

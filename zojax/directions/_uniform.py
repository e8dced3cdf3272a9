"""Chances: numbers that are no direction, drawn as one is."""

import dataclasses

import jax.numpy as jnp

from zojax._types import Array
from zojax.directions._elementwise import ElementwiseDirection


@dataclasses.dataclass(frozen=True)
class Uniform(ElementwiseDirection):
    """Numbers in [0, 1), of 24 bits."""

    def from_bits(self, bits: Array) -> Array:
        return (bits >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)

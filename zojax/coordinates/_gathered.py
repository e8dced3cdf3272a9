"""What the coordinates of a subspace have gathered for one parameter, and how it is added."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from zojax._mesh import mesh_of
from zojax._sixteen_bits import by_chance
from zojax._types import Array
from zojax._xla import rounded
from zojax.directions import LeafNoise, SubspaceNoise, drawn_at

# Bytes of a part of a parameter that it is added to at a time.
TILE_BYTES = 2**22


class Gathered(NamedTuple):
    """What is added to a parameter, not yet drawn.

    Attributes:
      offset: What the coordinates say.
      chances: Numbers in [0, 1), by which a parameter of 16 bits is rounded; None for others.
    """

    offset: LeafNoise
    chances: LeafNoise | None

    def update(self, parameter: Array) -> Array:
        """What ``optax.apply_updates`` adds; float32 for a parameter of 16 bits.

        It is computed element by element, so that it fuses into the sum.
        """
        offset = self.offset
        if isinstance(offset, SubspaceNoise) and mesh_of([parameter]) is None:
            z = offset.in_terms(parameter.shape)
        else:
            z = drawn_at(offset, parameter)
        if self.chances is None:
            return _nothing_of_0(z).astype(parameter.dtype)
        wide = parameter.astype(jnp.float32)
        chances = drawn_at(self.chances, parameter)
        return by_chance(wide + rounded(z), parameter.dtype, chances) - wide

    def added(self, parameter: Array) -> Array:
        """The parameter with it, in the parameter's buffer and a few MB."""
        offset, shape = self.offset, parameter.shape
        whole = parameter.nbytes <= TILE_BYTES or mesh_of([parameter]) is not None
        if whole or not isinstance(offset, SubspaceNoise) or offset.seen.stack > 1:
            chances = None if self.chances is None else drawn_at(self.chances, parameter)
            return _sum(parameter, drawn_at(offset, parameter), chances)
        stack = offset.seen.stack
        layers, layer_shape = (shape[0] if stack else 1), shape[stack:]
        row_bytes = parameter.nbytes // (layers * layer_shape[0])
        size = min(layer_shape[0], max(1, TILE_BYTES // row_bytes))
        tiles = math.ceil(layer_shape[0] / size)
        parts = [noise and noise.slices(shape) for noise in self] if stack else []

        def of_layer(layer: Array) -> Gathered:
            if not stack:
                return self
            given = jax.tree.map(lambda x: x[layer], parts)
            of_offset = offset.slice(given[0])
            return Gathered(of_offset, self.chances and self.chances.slice(given[1]))

        def add(turn: Array, parameter: Array) -> Array:
            layer, tile = turn // tiles, turn % tiles
            # The last tile begins where it ends in time; rows that are done stay.
            first = jnp.minimum(tile * size, layer_shape[0] - size)
            one = of_layer(layer)
            z = one.offset.block(layer_shape, 0, first, size)
            chances = one.chances and one.chances.block(layer_shape, 0, first, size)
            place = (*[layer] * stack, first, *[0] * (len(layer_shape) - 1))
            rows = lax.dynamic_slice(parameter, place, (*[1] * stack, size, *layer_shape[1:]))
            new = _sum(rows.reshape(size, *layer_shape[1:]), z, chances)
            done = (first + jnp.arange(size) < tile * size).reshape(-1, *[1] * (new.ndim - 1))
            new = jnp.where(done, rows.reshape(new.shape), new)
            return lax.dynamic_update_slice(parameter, new.reshape(rows.shape), place)

        return lax.fori_loop(0, layers * tiles, add, parameter)


def _sum(parameter: Array, z: Array, chances: Array | None) -> Array:
    if chances is None:
        return parameter + _nothing_of_0(z).astype(parameter.dtype)
    wide = parameter.astype(jnp.float32) + rounded(z)
    return by_chance(wide, parameter.dtype, chances).astype(parameter.dtype)


def _nothing_of_0(z: Array) -> Array:
    """z, rounded before it is added; −0 where it is 0, which leaves a number of −0 as it is."""
    return jnp.where(z == 0, jnp.float32(-0.0), rounded(z))

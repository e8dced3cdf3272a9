"""Noise drawn where a parameter lies."""

from functools import partial
from typing import Any

import jax
from jax.sharding import AxisType

from zojax._types import Array
from zojax.directions._noise import LeafNoise


def drawn(noise: LeafNoise, parameter: Array) -> Array:
    """Z of a parameter, float32 and of its shape; over several devices each draws its own part."""
    sharding: Any = jax.typeof(parameter).sharding
    mesh = sharding.mesh
    explicit = {
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Explicit
    }
    if mesh.size <= 1 or not explicit:
        return noise.draw(parameter.shape)
    # Of what is made from nothing, as noise is, every step would be whole on each device by its
    # type. Here the partitioner cuts it, from the end back.
    draw = partial(_draw, shape=parameter.shape)
    return jax.sharding.auto_axes(draw, axes=explicit, out_sharding=sharding)(noise)


def _draw(noise: LeafNoise, shape: tuple[int, ...]) -> Array:
    return noise.draw(shape)

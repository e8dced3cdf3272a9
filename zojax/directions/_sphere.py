"""Directions of one length."""

import dataclasses
import math
from collections.abc import Sequence

import jax.numpy as jnp

from zojax._types import Array
from zojax.directions._gaussian import Gaussian
from zojax.directions._noise import LeafNoise


@dataclasses.dataclass(frozen=True)
class Sphere(Gaussian):
    r"""z uniform on the sphere of radius √d over all d parameters together.

    .. math:: z = \sqrt d \, g / \lVert g \rVert, \qquad g \\sim N(0, I)

    Cost: a Gaussian direction, and one pass more over its noise for the norm.
    """

    def factor(self, leaves: Sequence[tuple[LeafNoise, tuple[int, ...]]]) -> Array:
        size = sum(math.prod(shape) for _, shape in leaves)
        squares = [jnp.sum(jnp.square(noise.draw(shape))) for noise, shape in leaves]
        return jnp.sqrt(size / jnp.sum(jnp.stack(squares)))

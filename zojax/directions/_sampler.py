"""Directions drawn by any sampler of ``jax.random``."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from zojax._types import Array
from zojax.directions._direction import SampledDirection


@dataclasses.dataclass(frozen=True)
class Sampler(SampledDirection):
    """z from a function such as ``jax.random.normal``.

    The alternative to the counter-based directions, for distributions that they lack or to
    compare with. It has no random access: each leaf's z is drawn whole where it is consumed.

    Args:
      sample: ``sample(key, shape, dtype) -> dtype [*shape]``, of mean 0 and variance 1.

    Cost: the sampler's.

    Examples:
      >>> import jax, zojax
      >>> zojax.directions.Sampler(jax.random.normal).draw(jax.random.key(0), (2,)).dtype
      dtype('float32')
    """

    sample: Callable[..., Array]

    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.sample(key, shape, jnp.float32)

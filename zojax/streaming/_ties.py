"""What makes a perturbed weight wait for the activation that it meets."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from zojax._types import Array
from zojax.streaming._perturbed import Perturbed


class Ties:
    """Ties of the weights of one computation to their activations.

    On one device each weight has a barrier of its own with the activations. Over several devices
    an activation that passes through three barriers is three for the partitioner, which may gather
    each: there it passes through one, and the weights that meet it wait for a zero from behind it.

    Args:
      shared: Whether weights share barriers: over several devices.
    """

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared
        self._passed: dict[tuple[int, ...], tuple[list[Array], Array, list[Array]]] = {}

    def inner(self) -> "Ties":
        """Ties within the body of a loop or branch, which must not leave it."""
        return Ties(shared=self.shared)

    def __call__(self, weight: Perturbed, values: Sequence[Array]) -> tuple[Perturbed, list[Array]]:
        """The weight, perturbed only once ``values`` are there; and the values to go on with."""
        if not self.shared:
            return weight.tied([*values])
        which = tuple(map(id, values))
        if which not in self._passed:
            zero: Any = jnp.zeros((), jnp.int32)
            zero, passed = lax.optimization_barrier((zero, [*values]))
            # The values are kept, so that no other array takes their identity; and passed ones
            # that come back are known.
            self._passed[which] = [*values], zero, passed
            self._passed[tuple(map(id, passed))] = self._passed[which]
        _, zero, passed = self._passed[which]
        return weight.waiting(zero), passed

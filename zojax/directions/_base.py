"""What a direction is."""

import abc
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax

from zojax._types import Array
from zojax.directions._counter import bits, leading_axes, row_keys
from zojax.directions._keys import key_words

if TYPE_CHECKING:
    from zojax.directions._noise import LeafNoise


class Direction(abc.ABC):
    """Distribution of the random direction z, with E[z zᵀ] = I.

    Subclass it as a frozen dataclass, so that equal settings are equal objects and nothing is
    compiled twice. :meth:`draw` is all that a new direction needs.
    """

    @abc.abstractmethod
    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws z for one leaf.

        Args:
          key: Typed key [] of the leaf at this step and query.
          shape: Shape of the leaf.

        Returns:
          float32 ``shape``.
        """

    def factor(self, leaves: Sequence["tuple[LeafNoise, tuple[int, ...]]"]) -> Array | None:
        """One number that scales every leaf, known from all of them; None for 1.

        Args:
          leaves: The noise and the shape of every leaf.

        Returns:
          float32 [] or None.
        """
        del leaves
        return None


class ElementwiseDirection(Direction):
    """A direction whose elements are independent and made from 32 random bits each.

    Such noise fuses into the operation that consumes it and can be drawn by rows, tiles and
    layers, so a streamed step never holds all of z.
    """

    @abc.abstractmethod
    def from_bits(self, bits: Array) -> Array:
        """Maps uniform uint32 [...] to float32 [...] of mean 0 and variance 1."""

    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        leading = shape[: leading_axes(shape)]
        keys = row_keys(key_words(key), math.prod(leading)).reshape(leading)
        return from_keys(self, keys, shape[len(leading) :], shape[len(leading) :])


# Compiled, also where the caller is not: XLA contracts multiply-adds, and plain evaluation would
# give z other last bits.
@partial(jax.jit, static_argnums=(0, 2, 3))
def from_keys(
    direction: ElementwiseDirection, keys: Array, columns: tuple[int, ...], part: tuple[int, ...]
) -> Array:
    """Draws z of some rows from their keys: see :func:`bits`."""
    return direction.from_bits(bits(keys, columns, part))

"""What a direction is."""

import abc
import math
from collections.abc import Sequence
from typing import TypeAlias

from zojax._types import Array
from zojax.directions._counter import leading_axes, row_keys
from zojax.directions._keys import key_words
from zojax.directions._noise import (
    DrawnNoise,
    LeafNoise,
    Noise,
    Row,
    WholeNoise,
    from_keys,
    is_vector,
)
from zojax.directions._tables import Request, table_rows

Shapes: TypeAlias = Sequence[tuple[int, ...] | None]
"""The shape of every leaf of the parameters; None for one that does not move (integers)."""


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

    def noises(
        self, words: Array, shapes: Shapes, factor: Array | None = None
    ) -> list[LeafNoise | None]:
        """The undrawn z of every leaf. For directions of which parts can be drawn alone.

        Args:
          words: uint32 [n, 2]: two random words for each leaf, of which :meth:`draw`'s key is made.
          shapes: The shape of each leaf; None for one that does not move.
          factor: What :meth:`factor` gave.
        """
        return [
            None if shape is None else WholeNoise(Row.at(words, leaf), self, factor)
            for leaf, shape in enumerate(shapes)
        ]

    def factor(self, leaves: Sequence[tuple[LeafNoise, tuple[int, ...]]]) -> Array | None:
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

    def noises(
        self, words: Array, shapes: Shapes, factor: Array | None = None
    ) -> list[LeafNoise | None]:
        # What is little in memory is computed here and now, for all leaves of a kind at once: the
        # keys of the rows, and z of the vectors, of which a transformer has a dozen a layer.
        moving = [leaf for leaf, shape in enumerate(shapes) if shape is not None]
        noises: list[LeafNoise | None] = [None] * len(shapes)
        rows = table_rows(
            self, words, [elementwise_request(leaf, shapes[leaf] or ()) for leaf in moving], factor
        )
        for leaf, row in zip(moving, rows, strict=True):
            noises[leaf] = elementwise_noise(self, row, shapes[leaf] or (), factor)
        return noises


def elementwise_request(leaf: int, shape: tuple[int, ...]) -> Request:
    """What a leaf's elementwise noise asks of the tables: z of a small vector, else its keys."""
    if is_vector(shape):
        return Request(leaf, math.prod(shape), row=0)
    return Request(leaf, math.prod(shape[: leading_axes(shape)]))


def elementwise_noise(
    direction: ElementwiseDirection, row: Row, shape: tuple[int, ...], factor: Array | None
) -> LeafNoise:
    """The noise of a leaf from the row that :func:`elementwise_request` asked for."""
    if is_vector(shape):
        return DrawnNoise(row)
    return Noise(row, shape[: leading_axes(shape)], direction, factor)

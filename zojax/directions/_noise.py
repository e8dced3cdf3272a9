"""The noise of one leaf before it is drawn."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AbstractMesh

from zojax._mesh import whole
from zojax._types import Array
from zojax.directions._counter import bits
from zojax.directions._rounding import rounded

if TYPE_CHECKING:
    from zojax.directions._base import Direction, ElementwiseDirection


class LeafNoise(abc.ABC):
    """z of one leaf, not yet drawn. Subclasses are frozen dataclasses and pytrees."""

    @abc.abstractmethod
    def draw(self, shape: tuple[int, ...]) -> Array:
        """z, float32 ``shape``; always the same bits for the same leaf."""

    @abc.abstractmethod
    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        """The same noise, drawable only once ``values`` are there; and the values.

        XLA merges equal draws of z and moves them early, keeping every perturbed weight alive.
        The barrier makes each draw wait for the activation that it meets.
        """

    @abc.abstractmethod
    def in_turn(self, turn: Array) -> Self:
        """The same noise, drawn within the loop whose turn this is: see :func:`alone`."""

    def waiting(self, zero: Array) -> Self:
        """The same noise, drawable only once ``zero`` is there, an int32 [] of 0.

        As :meth:`tied`, but it leaves the values that ``zero`` comes from to others.
        """
        return self.in_turn(zero)

    @property
    def random_access(self) -> bool:
        """Whether the methods below can draw a part alone."""
        return False

    @property
    def in_memory(self) -> bool:
        """Whether z is made of arrays of the leaf's shape, and so lies where the leaf lies."""
        return False

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        """``draw(shape)[rows]``, float32 [*rows.shape, *shape[1:]], drawing those rows alone."""
        raise NotImplementedError

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        """The part [first, first + size) on one axis of ``draw(shape)``, drawing that alone."""
        raise NotImplementedError

    def slices(self, shape: tuple[int, ...]) -> Any:
        """A pytree with a leading axis shape[0], to be scanned over for :meth:`slice`."""
        raise NotImplementedError

    def slice(self, part: Any) -> LeafNoise:
        """The noise of one element of the leading axis, from its part of :meth:`slices`."""
        raise NotImplementedError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Row:
    """One leaf's row of a table that many leaves share.

    The position is data, not a constant of the program: draws of one shape are then one program,
    from which compilers make one kernel. It is a vector, because a scalar constant would be
    written into the kernel again.

    Attributes:
      table: [n, size].
      position: uint32 [2]; the second element only makes it a vector.
      turn: int32 []: 0, and not known to be 0; None outside of loops.
      mesh: The devices that the parameters are on, on each of which the row is whole.
    """

    table: Array
    position: Any
    turn: Array | None = None
    mesh: AbstractMesh | None = dataclasses.field(default=None, metadata={"static": True})

    @classmethod
    def at(cls, table: Array, position: int) -> Row:
        # The second element is such that no compiler sees a pattern.
        return cls(table, np.array([position, 0x9E3779B9], np.uint32))

    def value(self) -> Array:
        """The row, [size]."""
        row = lax.dynamic_index_in_dim(self.table, self.position[0], keepdims=False)
        row = row if self.turn is None else row + self.turn.astype(row.dtype)
        return whole(row, self.mesh)

    def replaced(self, values: Array) -> Row:
        """A row of these values, outside of loops."""
        return dataclasses.replace(Row.at(values.reshape(1, -1), 0), mesh=self.mesh)

    def tied(self, values: Sequence[Array]) -> tuple[Row, list[Array]]:
        position, held = lax.optimization_barrier((self.position, list(values)))
        return dataclasses.replace(self, position=position), held

    def in_turn(self, turn: Array) -> Row:
        return dataclasses.replace(self, turn=turn)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Noise(LeafNoise):
    """z of one leaf as an :class:`ElementwiseDirection` draws it.

    Attributes:
      keys: The keys of the leaf's rows, uint32.
      leading: The leading axes, which number the rows.
      direction: The distribution.
      factor: float32 []: scale common to all leaves, or None for 1.
    """

    keys: Row
    leading: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    direction: ElementwiseDirection = dataclasses.field(metadata={"static": True})
    factor: Array | None = None

    @property
    def random_access(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._drawn(self._keys(), shape[len(self.leading) :])

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        keys, held = self.keys.tied(values)
        return dataclasses.replace(self, keys=keys), held

    def in_turn(self, turn: Array) -> Self:
        return dataclasses.replace(self, keys=self.keys.in_turn(turn))

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        if self.leading:
            return self._drawn(self._keys()[rows], shape[len(self.leading) :])
        stride = jnp.uint32(math.prod(shape[1:]))
        return self._drawn(self._keys() + rows.astype(jnp.uint32) * stride, shape[1:])

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        keys, lead = self._keys(), len(self.leading)
        if axis < lead:
            keys = lax.dynamic_slice_in_dim(keys, first, size, axis)
            return self._drawn(keys, shape[lead:])
        keys += first.astype(jnp.uint32) * jnp.uint32(math.prod(shape[axis + 1 :]))
        part = (*shape[lead:axis], size, *shape[axis + 1 :])
        return self._drawn(keys, shape[lead:], part)

    def slices(self, shape: tuple[int, ...]) -> Array:
        if self.leading:
            return self._keys()
        stride = jnp.uint32(math.prod(shape[1:]))
        return self._keys() + jnp.arange(shape[0], dtype=jnp.uint32) * stride

    def slice(self, part: Array) -> Noise:
        return dataclasses.replace(self, keys=self.keys.replaced(part), leading=part.shape)

    def _keys(self) -> Array:
        return self.keys.value().reshape(self.leading)

    def _drawn(
        self, keys: Array, columns: tuple[int, ...], part: tuple[int, ...] | None = None
    ) -> Array:
        z = from_keys(self.direction, keys, columns, columns if part is None else part)
        return z if self.factor is None else rounded(z * self.factor)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WholeNoise(LeafNoise):
    """z of one leaf as any :class:`Direction` draws it: whole.

    Attributes:
      words: Two random words, uint32 [2].
      direction: The distribution.
      factor: float32 []: scale common to all leaves, or None for 1.
    """

    words: Row
    direction: Direction = dataclasses.field(metadata={"static": True})
    factor: Array | None = None

    def draw(self, shape: tuple[int, ...]) -> Array:
        z = _draw(self.direction, shape, self.words.value())
        return z if self.factor is None else rounded(z * self.factor)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        words, held = self.words.tied(values)
        return dataclasses.replace(self, words=words), held

    def in_turn(self, turn: Array) -> Self:
        return dataclasses.replace(self, words=self.words.in_turn(turn))


def is_vector(shape: tuple[int, ...]) -> bool:
    """Whether a leaf is a bias, a norm or the like: so small that a copy of it costs nothing."""
    return len(shape) <= 1 and math.prod(shape) <= 2**16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DrawnNoise(LeafNoise):
    """z of one leaf that is drawn already, for leaves so small that keeping z costs nothing.

    Attributes:
      z: float32 [size].
    """

    z: Row

    @property
    def random_access(self) -> bool:
        return True

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self.z.value().reshape(shape)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        return self, [*values]

    def in_turn(self, turn: Array) -> Self:
        del turn
        return self

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        return self.draw(shape)[rows]

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        return lax.dynamic_slice_in_dim(self.draw(shape), first, size, axis)

    def slices(self, shape: tuple[int, ...]) -> Array:
        return self.draw(shape)

    def slice(self, part: Array) -> DrawnNoise:
        return DrawnNoise(self.z.replaced(part))


# Both are compiled, also where the caller is not: XLA contracts multiply-adds, and plain evaluation
# would give z other last bits.


@partial(jax.jit, static_argnums=(0, 2, 3))
def from_keys(
    direction: ElementwiseDirection, keys: Array, columns: tuple[int, ...], part: tuple[int, ...]
) -> Array:
    """Draws z of some rows from their keys: see :func:`bits`."""
    return direction.from_bits(bits(keys, columns, part))


@partial(jax.jit, static_argnums=(0, 1))
def _draw(direction: Direction, shape: tuple[int, ...], words: Array) -> Array:
    return direction.draw(jax.random.wrap_key_data(words, impl="threefry2x32"), shape)

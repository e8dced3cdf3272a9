"""The noise of one leaf before it is drawn."""

import abc
import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, Self, TypeVar

import jax
import numpy as np
from jax import lax
from jax.sharding import AbstractMesh, PartitionSpec

from zojax._mesh import explicit_axes, replicated
from zojax._types import Array
from zojax._xla import rounded, tied

Tree = TypeVar("Tree")


class LeafNoise(abc.ABC):
    """z of one leaf, not yet drawn. Subclasses are frozen dataclasses and pytrees."""

    @abc.abstractmethod
    def draw(self, shape: tuple[int, ...]) -> Array:
        """z, float32 ``shape``; always the same bits for the same leaf."""

    @abc.abstractmethod
    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        """The same noise, drawable only once ``values`` are there; and the values."""

    @abc.abstractmethod
    def in_loop(self, counter: Array) -> Self:
        """The same noise, drawn inside of a loop with this counter, an int32 [] of 0.

        XLA would hoist a draw that does not depend on the counter out of the loop.
        """

    def after(self, zero: Array) -> Self:
        """The same noise, drawable only once ``zero`` is there, an int32 [] of 0.

        As :meth:`tied`, but it leaves the values that ``zero`` comes from to others.
        """
        return self.in_loop(zero)

    def applied(self, slope: Array, parameter: Array) -> Array:
        """What the slope along z, float32 [], adds to the gradient: slope·z, float32."""
        return slope * drawn_at(self, parameter)

    @property
    def query_axes(self) -> Any:
        """``in_axes`` of ``jax.vmap`` over :meth:`Draws.queries`: 0, or None where it is shared."""
        return 0

    @property
    def random_access(self) -> bool:
        """Whether the methods below can draw a part alone."""
        return False

    @property
    def in_memory(self) -> bool:
        """Whether z is made of arrays of the leaf's shape, and so lies where the leaf lies."""
        return False

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        """``draw(shape)[rows]``, float32 ``[*rows.shape, *shape[1:]]``; draws those rows alone."""
        raise NotImplementedError

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        """The part [first, first + size) on one axis of ``draw(shape)``, drawing that alone."""
        raise NotImplementedError

    def slices(self, shape: tuple[int, ...]) -> Any:
        """A pytree with a leading axis shape[0], to be scanned over for :meth:`slice`."""
        raise NotImplementedError

    def slice(self, part: Any) -> "LeafNoise":
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
      counter: int32 []: 0, and not known to be 0; None outside of loops.
      mesh: The devices that the parameters are on, on each of which the row is whole.
    """

    table: Array
    position: Any
    counter: Array | None = None
    mesh: AbstractMesh | None = dataclasses.field(default=None, metadata={"static": True})

    @classmethod
    def at(cls, table: Array, position: int) -> "Row":
        # The second element is such that no compiler sees a pattern.
        return cls(table, np.array([position, 0x9E3779B9], np.uint32))

    def value(self) -> Array:
        """The row, [size]."""
        row = lax.dynamic_index_in_dim(self.table, self.position[0], keepdims=False)
        row = row if self.counter is None else row + self.counter.astype(row.dtype)
        return replicated(row, self.mesh)

    def replaced(self, values: Array) -> "Row":
        """A row of these values, outside of loops."""
        return dataclasses.replace(Row.at(values.reshape(1, -1), 0), mesh=self.mesh)

    def tied(self, values: Sequence[Array]) -> tuple["Row", list[Array]]:
        position, held = tied(self.position, list(values))
        return dataclasses.replace(self, position=position), held

    def in_loop(self, counter: Array) -> "Row":
        return dataclasses.replace(self, counter=counter)


class Draw(Protocol):
    """What draws z of a leaf from a key: a :class:`zojax.Direction`."""

    def draw(self, key: Array, shape: tuple[int, ...]) -> Array: ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UndividedNoise(LeafNoise):
    """z of one leaf as any :class:`zojax.Direction` draws it: all of it at once.

    Attributes:
      words: Two random words, uint32 [2].
      direction: The distribution.
      factor: float32 []: scale common to all leaves, or None for 1.
    """

    words: Row
    direction: Draw = dataclasses.field(metadata={"static": True})
    factor: Array | None = None

    def draw(self, shape: tuple[int, ...]) -> Array:
        z = _from_words(self.direction, shape, self.words.value())
        return z if self.factor is None else rounded(z * self.factor)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        words, held = self.words.tied(values)
        return dataclasses.replace(self, words=words), held

    def in_loop(self, counter: Array) -> Self:
        return dataclasses.replace(self, words=self.words.in_loop(counter))


# Compiled, also where the caller is not: XLA contracts multiply-adds, and plain evaluation would
# give z other last bits.
@partial(jax.jit, static_argnums=(0, 1))
def _from_words(direction: Draw, shape: tuple[int, ...], words: Array) -> Array:
    return direction.draw(jax.random.wrap_key_data(words, impl="threefry2x32"), shape)


def drawn_at(noise: LeafNoise, parameter: Array) -> Array:
    """Draws z of a parameter, float32 [*its shape]; of several devices each draws its own part."""
    sharding: Any = jax.typeof(parameter).sharding
    axes = explicit_axes(sharding.mesh)
    if not axes:
        # The partitioner cuts what it is added to, and it from there back.
        return noise.draw(parameter.shape)
    # By its type, what is made from nothing is whole on each device, at every step of its making.
    draw = partial(_draw_here, shape=parameter.shape)
    draw_there: Any = jax.sharding.auto_axes(draw, axes=axes, out_sharding=sharding)
    return draw_there(noise)


def resharded(tree: Tree, parameter: Array) -> Tree:
    """Noise, or what goes with it, on the other side of a border between kinds of a mesh's axes.

    Args:
      tree: Noise and arrays of one side.
      parameter: The parameter on the other side.
    """
    sharding: Any = jax.typeof(parameter).sharding
    axes = explicit_axes(sharding.mesh)

    def array(x: Any) -> Any:
        if not isinstance(x, jax.Array):
            return x
        if x.shape == parameter.shape:
            return jax.sharding.reshard(x, sharding.spec)
        spec: Any = jax.typeof(x).sharding.spec
        return jax.sharding.reshard(x, PartitionSpec(*(p if p in axes else None for p in spec)))

    return rows_on(sharding.mesh, jax.tree.map(array, tree))


def _draw_here(noise: LeafNoise, shape: tuple[int, ...]) -> Array:
    return rows_on(jax.sharding.get_abstract_mesh(), noise).draw(shape)


def rows_on(mesh: AbstractMesh | None, tree: Tree) -> Tree:
    """The same noise, whose rows are whole on each device of a mesh."""
    return jax.tree.map(
        lambda x: dataclasses.replace(x, mesh=mesh) if isinstance(x, Row) else x,
        tree,
        is_leaf=lambda x: isinstance(x, Row),
    )

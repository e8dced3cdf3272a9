"""The noise of one leaf before it is drawn."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
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
        """The same noise, which cannot be drawn before ``values`` are known; and the values."""

    @abc.abstractmethod
    def in_loop(self, counter: Array) -> Self:
        """The same noise, drawn inside of a loop with this counter, an int32 [] of 0.

        XLA would hoist a draw that does not depend on the counter out of the loop.
        """

    def after(self, zero: Array) -> Self:
        """The same noise, which cannot be drawn before ``zero``, an int32 [] of 0, is known.

        As :meth:`tied`, but the values that ``zero`` is computed from are not returned.
        """
        return self.in_loop(zero)

    def applied(self, slope: Array, parameter: Array) -> Array:
        """What the slope along z, float32 [], adds to the gradient: slope·z, float32."""
        return slope * drawn_at(self, parameter)

    @property
    def query_axes(self) -> Any:
        """``in_axes`` of ``jax.vmap`` over :meth:`Draws.queries`: 0, or None where it is shared."""
        return jax.tree.map(_query_axis, self, is_leaf=_is_row)

    @property
    def random_access(self) -> bool:
        """Whether the methods below can draw a part alone."""
        return False

    @property
    def in_memory(self) -> bool:
        """Whether z is made of arrays of the leaf's shape, which are sharded like the leaf."""
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
    """One leaf's part of a table that many leaves share.

    Its start is data, not a constant of the program: draws of one shape are then one program, from
    which compilers make one kernel. It is a vector, because a scalar constant would be written
    into the kernel again.

    Attributes:
      table: [n].
      start: uint32 [3]; the others only make it a vector.
      size: How many elements are this leaf's.
      counter: int32 []: 0, and not known to be 0; None outside of loops.
      mesh: The devices that the parameters are on, over which the row is replicated.
    """

    table: Array
    start: Any
    size: int = dataclasses.field(metadata={"static": True})
    counter: Array | None = None
    mesh: AbstractMesh | None = dataclasses.field(default=None, metadata={"static": True})

    @classmethod
    def at(cls, table: Array, start: int, size: int) -> "Row":
        # The others hide the pattern of the starts from the compiler.
        return cls(table, np.array([start, 0x9E3779B9, 0x21F0AAAD], np.uint32), size)

    def value(self) -> Array:
        """The row, [size]."""
        row = lax.dynamic_slice_in_dim(self.table, self.start[0], self.size)
        row = row if self.counter is None else row + self.counter.astype(row.dtype)
        return replicated(row, self.mesh)

    def replaced(self, values: Array) -> "Row":
        """A row of these values, outside of loops."""
        return dataclasses.replace(Row.at(values.reshape(-1), 0, values.size), mesh=self.mesh)

    def tied(self, values: Sequence[Array]) -> tuple["Row", list[Array]]:
        start, held = tied(self.start, list(values))
        return dataclasses.replace(self, start=start), held

    def in_loop(self, counter: Array) -> "Row":
        return dataclasses.replace(self, counter=counter)


def _is_row(x: Any) -> bool:
    return isinstance(x, Row)


def _query_axis(x: Any) -> Any:
    return dataclasses.replace(x, table=0, start=None, counter=None) if _is_row(x) else 0


def of_all_queries(function: Callable[..., Tree], *of_each: Any) -> Tree:
    """``jax.vmap`` of what makes the noise of one query; rows begin at one place for all."""
    noises = jax.vmap(function)(*of_each)
    return jax.tree.map(
        lambda x: dataclasses.replace(x, start=x.start[0]) if isinstance(x, Row) else x,
        noises,
        is_leaf=_is_row,
    )


class Draw(Protocol):
    """Draws z of a leaf from a key: a :class:`zojax.Direction` does."""

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


# Compiled even if the caller is not: XLA contracts multiply-adds, so that eager evaluation would
# give z other last bits.
@partial(jax.jit, static_argnums=(0, 1))
def _from_words(direction: Draw, shape: tuple[int, ...], words: Array) -> Array:
    return direction.draw(jax.random.wrap_key_data(words, impl="threefry2x32"), shape)


def drawn_at(noise: LeafNoise, parameter: Array) -> Array:
    """Draws z of a parameter, float32 [*its shape]; each of several devices draws its own part."""
    sharding: Any = jax.typeof(parameter).sharding
    axes = explicit_axes(sharding.mesh)
    if not axes:
        # The partitioner shards z like the array that it is added to.
        return noise.draw(parameter.shape)
    # With explicit axes an array that is made from no input is replicated.
    draw = partial(_draw_here, shape=parameter.shape)
    draw_there: Any = jax.sharding.auto_axes(draw, axes=axes, out_sharding=sharding)
    return draw_there(noise)


def resharded(tree: Tree, parameter: Array) -> Tree:
    """Noise, and arrays beside it, resharded where the kind of the mesh's axes changes.

    Args:
      tree: Noise and arrays with axes of one kind.
      parameter: The parameter with axes of the other kind.
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
    """The same noise, with its rows replicated over the devices of a mesh."""
    return jax.tree.map(
        lambda x: dataclasses.replace(x, mesh=mesh) if isinstance(x, Row) else x,
        tree,
        is_leaf=_is_row,
    )

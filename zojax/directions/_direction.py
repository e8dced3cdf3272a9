"""What a direction is, and the directions of one step."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AbstractMesh

from zojax import _check
from zojax._mesh import mesh_of, replicated
from zojax._types import Array, Params
from zojax._xla import opaque, rounded, tied
from zojax.directions._counter import leaf_words
from zojax.directions._noise import (
    LeafNoise,
    Row,
    UndividedNoise,
    of_all_queries,
    rows_on,
)

Noises: TypeAlias = Sequence[LeafNoise | None]
"""The undrawn z of every leaf of the parameters; None for one that does not move (integers)."""
Shapes: TypeAlias = Sequence[tuple[int, ...] | None]
"""The shape of every leaf of the parameters; None for one that does not move (integers)."""


class Draws(abc.ABC):
    """The directions z_0 … z_{q-1} of a step: every query's undrawn z for every leaf.

    Subclasses are frozen dataclasses and pytrees.
    """

    @property
    def averaged(self) -> bool:
        """Whether :meth:`gradient` is a mean over the queries, from which one can be left out."""
        return True

    @property
    @abc.abstractmethod
    def num_queries(self) -> int:
        """The number of queries, q."""

    @abc.abstractmethod
    def query(self, index: int | Array) -> Noises:
        """The undrawn z of query ``index``."""

    @abc.abstractmethod
    def repeated(self, times: int) -> Self:
        """The draws of q·times points: each query ``times`` times, one after the other.

        z is drawn again at each point: XLA cannot see through the tie that two of them are equal,
        and so keeps nothing of z from one point to the next.
        """

    @abc.abstractmethod
    def after(self, values: Array) -> Self:
        """The same draws, made only once ``values`` are known."""

    def queries(self) -> Noises:
        """All queries at once, for :meth:`gradient`; override it where large arrays get stacked.

        Returns:
          The noise of each leaf. If q > 1 its arrays have an axis [q] in front, but for those that
          all queries share: see :attr:`LeafNoise.query_axes`.
        """
        if self.num_queries == 1:
            return self.query(0)
        return of_all_queries(self.query, jnp.arange(self.num_queries))

    def gradient(self, slopes: Array, leaves: Sequence[Array]) -> list[Array]:
        """The mean over the queries of slope·z, each leaf drawn where it is used.

        Args:
          slopes: float32 [q].
          leaves: The parameters.

        Returns:
          An array for each leaf, of its shape and dtype; zeros for an integer leaf.
        """

        def leaf(noise: LeafNoise | None, parameter: Array) -> Array:
            if noise is None:
                return jnp.zeros_like(parameter)
            total = sum_over_queries(
                lambda one, weight: one.applied(weight, parameter), noise, slopes, parameter
            )
            return (total / len(slopes)).astype(parameter.dtype)

        return list(map(leaf, self.queries(), leaves))


class Direction(abc.ABC):
    """How the directions z of a step are made: what estimators take as ``direction``.

    A direction may carry state from step to step, which lies in the estimator's state. Most carry
    none: :class:`SampledDirection`.

    Attributes:
      reads_parameters: Whether z depends on the parameters' values, beside their paths and shapes.
    """

    reads_parameters: ClassVar[bool] = False

    @property
    def remembers(self) -> bool:
        """Whether z depends on earlier steps, and not on the key and the step alone.

        So it does where :meth:`after_step` is overridden. A direction that is made of another one
        and only hands ``after_step`` on returns what that one does.
        """
        return type(self).after_step is not Direction.after_step

    def stored(self) -> "Direction":
        """The same direction, of which z may be kept whole during a step.

        For a tree whose numbers are few beside the model's, as the coordinates of a subspace are:
        where all of z is drawn in one operation, the program is shorter. Itself by default.
        """
        return self

    def init(self, params: Params, num_queries: int) -> Any:
        """The state before the first step: a pytree of arrays.

        A buffer of the parameters' size must be a tree like ``params``, so that it lies on devices
        as they do.

        Args:
          params: Parameters, any pytree of arrays.
          num_queries: q ≥ 1.
        """
        del params, num_queries
        return ()

    @abc.abstractmethod
    def at_step(
        self, state: Any, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple[Draws, Any]:
        """The draws of a step, and the state that :meth:`after_step` gets.

        Args:
          state: As :meth:`init` or the last step's :meth:`after_step` gave it.
          key: Typed key [], the same at all steps.
          count: int32 []: the step.
          num_queries: q ≥ 1.
          params: Parameters.
        """

    def after_step(
        self, state: Any, draws: Any, slopes: Array, usable: Array, params: Params
    ) -> Any:
        """The state after a step.

        Args:
          state: As :meth:`at_step` gave it.
          draws: As :meth:`at_step` gave them.
          slopes: float32 [q], as measured; 0 where they are not usable.
          usable: bool [q]: which slopes are usable. Without any, the step has measured nothing.
          params: Parameters before the step.
        """
        del draws, slopes, usable, params
        return state


def check_memoryless(where: str, name: str, direction: Direction, why: str) -> None:
    """Refuses a direction that depends on earlier steps, and says why it must not."""
    _check.instance(where, name, direction, Direction)
    if direction.remembers:
        kind = type(direction).__name__
        raise ValueError(
            f"{where}: {name} must not depend on earlier steps, got {kind}: {why}. Use Gaussian()."
        )


class SampledDirection(Direction):
    """z drawn anew at every step from one distribution, with E[z zᵀ] = I.

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

    def noises(self, words: Array, shapes: Shapes, factor: Array | None = None) -> Noises:
        """The undrawn z of every leaf; overridden by directions that can draw parts of z alone.

        Args:
          words: uint32 [n, 2]: two random words for each leaf, of which :meth:`draw`'s key is made.
          shapes: The shape of each floating leaf; None for an integer one.
          factor: What :meth:`factor` gave.
        """
        flat = words.reshape(-1)
        return [
            None if shape is None else UndividedNoise(Row.at(flat, 2 * leaf, 2), self, factor)
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

    def at_step(
        self, state: Any, key: Array, count: Array, num_queries: int, params: Params
    ) -> tuple["SampledDraws", Any]:
        shapes = tuple(
            jnp.shape(leaf) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else None
            for leaf in jax.tree.leaves(params)
        )
        words = leaf_words(key, count, num_queries, params)
        draws = SampledDraws(words, None, self, shapes, mesh_of(params))
        return dataclasses.replace(draws, factors=_factors(draws)), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SampledDraws(Draws):
    """What a :class:`SampledDirection` draws: a function of key, step, query and path alone.

    Attributes:
      words: uint32 [q, n, 2]: two random words for each query and leaf.
      factors: float32 [q]: the scale common to all leaves of a query, or None for 1.
      direction: The distribution of z.
      shapes: The shape of each floating leaf; None for an integer one, which no direction moves.
      mesh: The devices that the parameters are on; None for a single one.
    """

    words: Array
    factors: Array | None
    direction: SampledDirection = dataclasses.field(metadata={"static": True})
    shapes: tuple[tuple[int, ...] | None, ...] = dataclasses.field(metadata={"static": True})
    mesh: AbstractMesh | None = dataclasses.field(metadata={"static": True})

    @property
    def num_queries(self) -> int:
        return len(self.words)

    def query(self, index: int | Array) -> Noises:
        factor = None if self.factors is None else self.factors[index]
        return self._noises(self.words[index], factor)

    def queries(self) -> Noises:
        if self.num_queries == 1:
            return self.query(0)
        return of_all_queries(self._noises, self.words, self.factors)

    def _noises(self, words: Array, factor: Array | None) -> Noises:
        noises = self.direction.noises(words, self.shapes, factor)
        if self.mesh is None:
            return noises
        tables = jax.tree.map(self._with_table, noises, is_leaf=lambda x: isinstance(x, Row))
        return rows_on(self.mesh, tables)

    def _with_table(self, x: Any) -> Any:
        if not isinstance(x, Row):
            return x
        return dataclasses.replace(x, table=replicated(x.table, self.mesh))

    def repeated(self, times: int) -> Self:
        words, factors = (
            None if x is None else opaque(jnp.repeat(x, times, axis=0))
            for x in (self.words, self.factors)
        )
        return dataclasses.replace(self, words=words, factors=factors)

    def after(self, values: Array) -> Self:
        words, _ = tied(self.words, values)
        return dataclasses.replace(self, words=words)

    def factor(self, index: Array) -> Array | None:
        """The scale common to all leaves of query ``index``, or None for 1."""
        leaves = zip(self.query(index), self.shapes, strict=True)
        return self.direction.factor(
            [(noise, shape) for noise, shape in leaves if noise is not None and shape is not None]
        )


# Compiled, so that a step outside of jit compiles the loop once and not every time.
@jax.jit
def _factors(draws: SampledDraws) -> Array | None:
    return lax.map(draws.factor, jnp.arange(draws.num_queries))


def sum_over_queries(
    function: Callable[[Any, Array], Array], noise: LeafNoise, weights: Array, parameter: Array
) -> Array:
    """Σ function(zᵢ, wᵢ) over the queries of one leaf.

    Args:
      function: From a query's noise and weight to float32 of the parameter's shape.
      noise: As :meth:`Draws.queries` gives it.
      weights: float32 [q].
      parameter: The leaf.
    """
    if len(weights) == 1:
        return function(noise, weights[0])
    axes = noise.query_axes
    if noise.random_access:
        # One pass over the leaf: the draws fuse into the sum.
        return jnp.sum(rounded(jax.vmap(function, (axes, 0))(noise, weights)), axis=0)

    def add(query: Array, total: Array) -> Array:
        return total + rounded(function(of_queries(noise, query), weights[query]))

    return lax.fori_loop(0, len(weights), add, jnp.zeros_like(parameter, jnp.float32))


def of_queries(noise: LeafNoise, which: int | slice | Array) -> Any:
    """The noise of one query, or of some, from that of all as :meth:`Draws.queries` gives it."""

    def pick(axis: int | None, x: Any) -> Any:
        return x if axis is None else jax.tree.map(lambda array: array[which], x)

    return jax.tree.map(pick, noise.query_axes, noise, is_leaf=lambda x: x is None)

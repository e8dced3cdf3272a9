"""The offset of a leaf within a subspace: a small core between two thin factors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AbstractMesh

from zojax._mesh import replicated
from zojax._types import Array
from zojax._xla import opaque
from zojax.directions._counter import leading_axes
from zojax.directions._elementwise import ElementwiseNoise, Request, table_rows
from zojax.directions._gaussian import Gaussian
from zojax.directions._given import GivenNoise
from zojax.directions._low_rank import RoundedDirection
from zojax.directions._noise import LeafNoise, Row, rows_on

# What a factor is made of. A product with bfloat16 activations sees all of it.
_ELEMENTS = RoundedDirection(Gaussian())


class Matrices(NamedTuple):
    """How a leaf is seen as matrices of m rows and n columns.

    Attributes:
      stack: Leading axes that number matrices.
      rows: Axes after them that are a matrix's rows; the others are its columns.
    """

    stack: int
    rows: int

    def row_axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[self.stack : self.stack + self.rows]

    def column_axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[self.stack + self.rows :]

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """The sizes of a matrix, m and n."""
        return math.prod(self.row_axes(shape)), math.prod(self.column_axes(shape))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SubspaceNoise(LeafNoise):
    """z = Aᵀ T B of one leaf, whose thin factors are drawn where they are used.

    Attributes:
      left: A, of shape [*stack, r, *rows], not yet drawn; None where ``core`` is A.
      right: B, of shape [*stack, s, *columns], not yet drawn; None where ``core`` is B.
      core: float32: T, [*stack, r, s]; or the factor that is not drawn, of which T is a part.
      seen: How the leaf is seen.
    """

    left: LeafNoise | None
    right: LeafNoise | None
    core: Array
    seen: Matrices = dataclasses.field(metadata={"static": True})

    @property
    def random_access(self) -> bool:
        return True

    @property
    def few_bits(self) -> tuple[bool, bool]:
        """Whether A and B have no more bits than bfloat16."""
        return self.left is not None, self.right is not None

    def factors(self, shape: tuple[int, ...]) -> tuple[Array, Array | None, Array]:
        """A, [*stack, r, *rows], T or None for the identity, and B, [*stack, s, *columns]."""
        of_left, of_right = self._shapes(shape)
        left = self.core.reshape(of_left) if self.left is None else self.left.draw(of_left)
        right = self.core.reshape(of_right) if self.right is None else self.right.draw(of_right)
        return left, None if self.left is None or self.right is None else self.core, right

    def pair(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """A' = TᵀA, float32 [*stack, s, *rows], and B; z is their product over s alone."""
        left, core, right = self.factors(shape)
        return left if core is None else _through(core, left, self.seen.stack), right

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._product(*self.pair(shape)).reshape(shape)

    def in_terms(self, shape: tuple[int, ...]) -> Array:
        """As :meth:`draw`, a sum of outer products by element: it fuses into what consumes it."""
        left, right = opaque(self.pair(shape))
        stack, (m, n) = shape[: self.seen.stack], self.seen.sizes(shape)
        left, right = left.reshape(*stack, -1, m, 1), right.reshape(*stack, -1, 1, n)
        rank, axis = left.shape[-3], self.seen.stack
        terms = [
            lax.index_in_dim(left, i, axis, keepdims=False)
            * lax.index_in_dim(right, i, axis, keepdims=False)
            for i in range(rank)
        ]
        return sum(terms[1:], terms[0]).reshape(shape)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        held, factors = [*values], dict[str, LeafNoise | None](left=self.left, right=self.right)
        for name, factor in factors.items():
            if factor is not None:
                factors[name], held = factor.tied(held)
        return dataclasses.replace(self, **factors), held

    def in_loop(self, counter: Array) -> Self:
        left, right = (x and x.in_loop(counter) for x in (self.left, self.right))
        return dataclasses.replace(self, left=left, right=right)

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        left, right = self.pair(shape)
        if self.seen.stack:
            left, right = left[rows], right[rows]
            stack = rows.ndim + self.seen.stack - 1
            part = dataclasses.replace(self, seen=Matrices(stack, self.seen.rows))
            return part._product(left, right).reshape(*rows.shape, *shape[1:])
        left, right = (left[:, rows], right) if self.seen.rows else (left, right[:, rows])
        return _sum(left, right).reshape(*rows.shape, *shape[1:])

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        part = (*shape[:axis], size, *shape[axis + 1 :])
        return self.part(shape, axis, first, size).draw(part)

    def part(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> SubspaceNoise:
        """The noise of :meth:`block`, of which a factor is drawn."""
        stack, rows = self.seen

        def cut(x: Array, at: int) -> Array:
            return lax.dynamic_slice_in_dim(x, first, size, at)

        left, right, core = self.left, self.right, self.core
        of_left, of_right = self._shapes(shape)
        if axis < stack:
            core = cut(core, axis)
            left = left and GivenNoise(left.block(of_left, axis, first, size))
            right = right and GivenNoise(right.block(of_right, axis, first, size))
        elif axis < stack + rows:
            at = axis + 1
            left = left and GivenNoise(left.block(of_left, at, first, size))
            core = core if left else cut(core.reshape(of_left), at)
        else:
            at = axis + 1 - rows
            right = right and GivenNoise(right.block(of_right, at, first, size))
            core = core if right else cut(core.reshape(of_right), at)
        return SubspaceNoise(left, right, core, self.seen)

    def slices(self, shape: tuple[int, ...]) -> Any:
        if self.seen.stack:
            left, right = self._shapes(shape)
            return (
                self.left and self.left.slices(left),
                self.right and self.right.slices(right),
                self.core,
            )
        return jnp.moveaxis(self.pair(shape)[0], 1, 0) if self.seen.rows else self.draw(shape)

    def slice(self, part: Any) -> LeafNoise:
        stack, rows = self.seen
        if stack:
            left, right, core = part
            return SubspaceNoise(
                self.left and self.left.slice(left),
                self.right and self.right.slice(right),
                core,
                Matrices(stack - 1, rows),
            )
        if not rows:
            return GivenNoise(part)
        right = GivenNoise(self.core) if self.right is None else self.right
        return SubspaceNoise(None, right, part, Matrices(0, rows - 1))

    def _shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of A and B."""
        stack = shape[: self.seen.stack]
        left, right = self.core.shape[len(stack)], self.core.shape[len(stack)]
        if self.left is not None and self.right is not None:
            right = self.core.shape[len(stack) + 1]
        return (
            (*stack, left, *self.seen.row_axes(shape)),
            (*stack, right, *self.seen.column_axes(shape)),
        )

    def _product(self, left: Array, right: Array) -> Array:
        """Σ A'B over the ranks, float32 [*stack, m, n]."""
        stack = left.shape[: self.seen.stack]
        left = left.reshape(*stack, left.shape[len(stack)], -1)
        right = right.reshape(*stack, right.shape[len(stack)], -1)
        return jnp.matmul(
            jnp.swapaxes(left, -1, -2),
            right,
            precision=lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )


def thin_factors(
    words: Array, shapes: Sequence[tuple[int, tuple[int, ...]]], mesh: AbstractMesh | None
) -> list[LeafNoise]:
    """Factors of independent elements, normal and rounded to bfloat16, not yet drawn.

    Args:
      words: uint32 [n, 2]: two random words for each leaf.
      shapes: Of each factor its leaf's place and its shape. Factors of one leaf differ.
      mesh: The devices that the parameters are on; None for a single one.
    """
    taken: dict[int, int] = {}
    requests: list[Request] = []
    for leaf, shape in shapes:
        rows, first = math.prod(shape[: leading_axes(shape)]), taken.get(leaf, 0)
        requests.append(Request(leaf, rows, None, first))
        taken[leaf] = first + rows
    found: list[LeafNoise] = []
    for (_, shape), row in zip(shapes, table_rows(_ELEMENTS, words, requests, None), strict=True):
        keys: Row = row
        if mesh is not None:
            keys = rows_on(mesh, dataclasses.replace(row, table=replicated(row.table, mesh)))
        found.append(ElementwiseNoise(keys, shape[: leading_axes(shape)], _ELEMENTS))
    return found


def _through(core: Array, left: Array, stack: int) -> Array:
    """TᵀA for [*stack, r, s] and [*stack, r, *rows]."""
    flat = left.reshape(*left.shape[: stack + 1], -1)
    found = jnp.matmul(jnp.swapaxes(core, -1, -2), flat, precision=lax.Precision.HIGHEST)
    return found.reshape(*found.shape[:-1], *left.shape[stack + 1 :])


def _sum(left: Array, right: Array) -> Array:
    return jnp.tensordot(left, right, axes=([0], [0]), precision=lax.Precision.HIGHEST)

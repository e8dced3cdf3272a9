"""Directions of low rank."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from zojax import _check
from zojax._types import Array
from zojax._xla import rounded
from zojax.directions._counter import key_words, row_key
from zojax.directions._direction import Noises, SampledDirection, Shapes
from zojax.directions._elementwise import (
    ElementwiseDirection,
    Request,
    StoredNoise,
    elementwise_request,
    from_keys,
    is_vector,
    keyed_noise,
    table_rows,
)
from zojax.directions._gaussian import Gaussian
from zojax.directions._noise import LeafNoise, Row


@dataclasses.dataclass(frozen=True)
class LowRank(SampledDirection):
    r"""Products of two thin factors for matrices, full noise for vectors.

    .. math::
        z = \frac{1}{\sqrt r}\, a b^\top, \qquad a \in \mathbb R^{m \times r},
        \quad b \in \mathbb R^{n \times r}, \qquad \mathbb E[z z^\top] = I

    A streamed loss never forms z: a product with the weight becomes
    :math:`x W + \epsilon\,(x a) b^\top / \sqrt r`, and with ``batched=True`` all points of a step
    share :math:`x W`. A leaf of three axes or more is the matrix that has the thinnest factors: a
    stack of layers [l, m, n] has an a for each layer and one b for all.

    Args:
      rank: r ≥ 1.
      base: The distribution of the elements of a and b.

    Cost: r (m + n) drawn numbers a leaf, and r multiply-adds for each element of a product.
    Error: for one matrix and Gaussian factors, E‖ĝ‖² → ((m + 2)(n + 2)/r + (1 - 1/r)(mn + 2))‖∇L‖²
      as eps → 0, nearly the mn + 2 of a full direction. The elements of a and b are rounded to
      bfloat16, so that products with bfloat16 activations see all of them. The perturbation is
      added to a streamed product in float32. A product with a float32 result keeps all of it,
      whatever the weights' dtype; a bfloat16 result is rounded after the sum, and loses what is
      smaller than half a spacing of bfloat16 numbers there. Leaves that meet no product (lookups,
      norms) are perturbed and rounded themselves.

    Raises:
      ValueError: ``rank`` < 1, or a ``base`` that scales all leaves at once (``Sphere``).

    References:
      Chen et al., 2024, arXiv:2410.07698. Sarkar et al., 2025, arXiv:2511.16652.

    Examples:
      >>> import jax, jax.numpy as jnp, zojax
      >>> z = zojax.LowRank(rank=2).draw(jax.random.key(0), (30, 50))
      >>> int(jnp.linalg.matrix_rank(z))
      2
    """

    rank: int = 1
    base: ElementwiseDirection = Gaussian()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        _check.count("LowRank", "rank", self.rank)
        _check.instance("LowRank", "base", self.base, ElementwiseDirection)
        if type(self.base).factor is not SampledDirection.factor:
            raise ValueError(
                f"LowRank: base must draw each element alone, got {self.base!r}, which scales "
                f"all of them together; use Gaussian()."
            )

    def draw(self, key: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) <= 1:
            return self._elements.draw(key, shape)
        words = key_words(key)
        sizes = _sizes(shape, self.rank)
        rows = [
            Row.at(from_keys(self._elements, row_key(words, jnp.uint32(i)), (n,), (n,)), 0, n)
            for i, n in enumerate(sizes)
        ]
        return self._noise(shape, rows).draw(shape)

    def noises(self, words: Array, shapes: Shapes, factor: Array | None = None) -> Noises:
        del factor
        floating = [(leaf, shape) for leaf, shape in enumerate(shapes) if shape is not None]
        requests = [
            request for leaf, shape in floating for request in _requests(leaf, shape, self.rank)
        ]
        rows = iter(table_rows(self._elements, words, requests, None))
        noises: list[LeafNoise | None] = [None] * len(shapes)
        for leaf, shape in floating:
            if is_vector(shape):
                noises[leaf] = StoredNoise(next(rows))
            elif len(shape) <= 1:
                noises[leaf] = keyed_noise(self._elements, next(rows), shape, None)
            else:
                noises[leaf] = self._noise(shape, [next(rows), next(rows)])
        return noises

    @property
    def _elements(self) -> RoundedDirection:
        return RoundedDirection(self.base)

    def _noise(self, shape: tuple[int, ...], rows: Sequence[Row]) -> LowRankNoise:
        return LowRankNoise(*rows, rank=self.rank, split=_split(shape))


@dataclasses.dataclass(frozen=True)
class RoundedDirection(ElementwiseDirection):
    """A direction whose elements are rounded to bfloat16."""

    base: ElementwiseDirection

    def from_bits(self, bits: Array) -> Array:
        # A conversion and back would be removed by XLA.
        return lax.reduce_precision(self.base.from_bits(bits), exponent_bits=8, mantissa_bits=7)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LowRankNoise(LeafNoise):
    """z = Σ a b / √r of one leaf.

    Attributes:
      left: a: float32 [product of the first ``split`` axes · r].
      right: b: float32 [product of the other axes · r].
      rank: r.
      split: How many of the leaf's axes are a's.
    """

    left: Row
    right: Row
    rank: int = dataclasses.field(metadata={"static": True})
    split: int = dataclasses.field(metadata={"static": True})

    @property
    def random_access(self) -> bool:
        return True

    @property
    def few_bits(self) -> tuple[bool, bool]:
        """Whether a and b have no more bits than bfloat16."""
        return True, True

    def factors(self, shape: tuple[int, ...]) -> tuple[Array, float, Array]:
        """a, float32 [r, *shape[:split]], 1/√r, and b, float32 [r, *shape[split:]]."""
        left, right = self._left(shape), self._right(shape)
        return jnp.moveaxis(left, -1, 0), self.rank**-0.5, jnp.moveaxis(right, -1, 0)

    # A row's numbers go element by element, r for each, so that those of a layer in a stack do not
    # depend on how many layers there are.
    def _left(self, shape: tuple[int, ...]) -> Array:
        return self.left.value().reshape(*shape[: self.split], self.rank)

    def _right(self, shape: tuple[int, ...]) -> Array:
        return self.right.value().reshape(*shape[self.split :], self.rank)

    def draw(self, shape: tuple[int, ...]) -> Array:
        left, _, right = self.factors(shape)
        return self._product(left, right)

    def tied(self, values: Sequence[Array]) -> tuple[Self, list[Array]]:
        left, held = self.left.tied(values)
        return dataclasses.replace(self, left=left), held

    def in_loop(self, counter: Array) -> Self:
        return dataclasses.replace(self, left=self.left.in_loop(counter))

    def rows(self, shape: tuple[int, ...], rows: Array) -> Array:
        left, _, right = self.factors(shape)
        if not self.split:
            return self._product(left, right[:, rows])
        return self._product(left[:, rows], right)

    def block(self, shape: tuple[int, ...], axis: int, first: Array, size: int) -> Array:
        left, _, right = self.factors(shape)
        if axis < self.split:
            left = lax.dynamic_slice_in_dim(left, first, size, axis + 1)
        else:
            right = lax.dynamic_slice_in_dim(right, first, size, axis + 1 - self.split)
        return self._product(left, right)

    def slices(self, shape: tuple[int, ...]) -> Array:
        return self._left(shape) if self.split else self._right(shape)

    def slice(self, part: Any) -> LowRankNoise:
        if not self.split:
            return dataclasses.replace(self, right=self.right.replaced(part))
        return dataclasses.replace(self, left=self.left.replaced(part), split=self.split - 1)

    def _product(self, left: Array, right: Array) -> Array:
        # Elementwise, so that z fuses into what consumes it and is not formed. The products of two
        # bfloat16 numbers are exact, so the sum has the same bits in every program.
        columns = (1,) * (right.ndim - 1)
        terms = [
            left[i].reshape(left.shape[1:] + columns)
            * right[i].reshape(*(1,) * (left.ndim - 1), *right.shape[1:])
            for i in range(self.rank)
        ]
        total = sum(terms[1:], terms[0])
        return total if self.rank == 1 else rounded(total * np.float32(self.rank**-0.5))


def _split(shape: tuple[int, ...]) -> int:
    """How many leading axes of a leaf are a's: as many as make the factors smallest."""
    return min(
        range(1, len(shape)), key=lambda axis: math.prod(shape[:axis]) + math.prod(shape[axis:])
    )


def _requests(leaf: int, shape: tuple[int, ...], rank: int) -> list[Request]:
    """The rows of the tables that a leaf needs: those of both factors, or of a vector."""
    if len(shape) <= 1:
        return [elementwise_request(leaf, shape, stored=is_vector(shape))]
    return [Request(leaf, 1, size, row) for row, size in enumerate(_sizes(shape, rank))]


def _sizes(shape: tuple[int, ...], rank: int) -> tuple[int, int]:
    """The numbers of random numbers in a matrix's factors."""
    split = _split(shape)
    return rank * math.prod(shape[:split]), rank * math.prod(shape[split:])

"""How every parameter is seen within a subspace, and the shape of its coordinates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax

from zojax.coordinates._paths import shapes, slash_paths
from zojax.directions import Matrices

Sides: TypeAlias = Literal["both", "left", "right", "diagonal"]
Basis: TypeAlias = Literal["haar", "gaussian"]

MatrixOf: TypeAlias = Callable[[str, jax.ShapeDtypeStruct], tuple[int, int] | None]
"""``matrix(path, leaf)``: leading axes that number matrices, and axes after them that are rows."""

# Names of a branch whose leaves may have an axis of layers in front.
_STACKS = {"layers", "blocks"}


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Plan:
    """What of a subspace does not change from step to step.

    Attributes:
      rank: r, of each side at most.
      sides: Which sides have a basis.
      basis: How its elements are drawn.
      refresh: Steps of a period; None for a single one.
      in_update: Whether updates fold, or :func:`zojax.fold` does.
      seen: How each leaf is seen; None for one whose coordinates are an offset.
    """

    rank: int
    sides: Sides
    basis: Basis
    refresh: int | None
    in_update: bool
    seen: tuple[Matrices | None, ...] = ()

    def of(self, params: Any, matrix: MatrixOf | None) -> Plan:
        """The plan for these parameters."""
        leaves = zip(slash_paths(params), shapes(params), stacked(params), strict=True)
        return dataclasses.replace(self, seen=tuple(_seen(*leaf, matrix) for leaf in leaves))

    def ranks(self, sizes: tuple[int, int]) -> tuple[int, int]:
        """The columns of U and V for m and n."""
        left, right = (min(self.rank, size) for size in sizes)
        least = min(left, right)
        return (least, least) if self.sides == "diagonal" else (left, right)

    def coordinates(self, shape: tuple[int, ...], seen: Matrices | None) -> tuple[int, ...]:
        """The shape of a leaf's coordinates."""
        if seen is None:
            return shape
        stack, (m, n) = shape[: seen.stack], seen.sizes(shape)
        left, right = self.ranks((m, n))
        of_sides = {
            "both": (left, right),
            "left": (left, n),
            "right": (m, right),
            "diagonal": (left,),
        }
        return (*stack, *of_sides[self.sides])

    def scale(self, shape: tuple[int, ...], seen: Matrices) -> float:
        """c, with which independent coordinates of variance 1 are elements of variance 1."""
        m, n = seen.sizes(shape)
        left, right = self.ranks((m, n))
        # The number of products in a sum, and the elements that are as large together as U or V.
        products = {
            "both": left * right,
            "left": left,
            "right": right,
            "diagonal": left,
        }[self.sides]
        sizes = {"both": m * n, "left": m, "right": n, "diagonal": m * n}[self.sides]
        return math.sqrt((sizes if self.basis == "haar" else 1) / products)


def _seen(
    path: str, leaf: jax.ShapeDtypeStruct, in_stack: bool, matrix: MatrixOf | None
) -> Matrices | None:
    if matrix is None:
        return usual_matrices(leaf.shape, in_stack)
    found = matrix(path, leaf)
    if found is None:
        return None
    try:
        stack, rows = map(int, found)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"subspace: matrix must give two numbers of axes, (stack, rows), or None, got "
            f"{found!r} for {path}."
        ) from error
    if stack < 0 or rows < 1 or stack + rows >= len(leaf.shape):
        raise ValueError(
            f"subspace: matrix must leave an axis of columns behind stack >= 0 and rows >= 1 axes, "
            f"got {found!r} for {path} of shape {list(leaf.shape)}. Give None for an offset."
        )
    return Matrices(stack, rows)


def usual_matrices(shape: tuple[int, ...], in_stack: bool) -> Matrices | None:
    """How a leaf is seen unless it is said: cut where rows and columns are the fewest together.

    So a kernel [features, heads, size] has features as its rows and one [heads, size, features] as
    its columns.

    Args:
      shape: Of the leaf.
      in_stack: Whether its first axis numbers layers.
    """
    stack = int(in_stack)
    rest = shape[stack:]
    if len(rest) < 2 or math.prod(shape) == 0:
        return None
    rows = min(
        range(1, len(rest)), key=lambda axis: math.prod(rest[:axis]) + math.prod(rest[axis:])
    )
    return Matrices(stack, rows)


def stacked(params: Any) -> list[bool]:
    """For every leaf, whether its first axis numbers layers, as ``flax.linen.scan`` stacks them.

    So it is below ``layers`` or ``blocks``, where no number follows and all leaves agree on the
    length of that axis.
    """
    leaves = shapes(params)
    branches = [_branch(path.split("/")) for path in slash_paths(params)]
    lengths: dict[tuple[str, ...], set[int]] = {}
    for branch, leaf in zip(branches, leaves, strict=True):
        if branch is not None:
            lengths.setdefault(branch, set()).update(leaf.shape[:1] or (-1,))
    return [branch is not None and len(lengths[branch]) == 1 for branch in branches]


def _branch(names: Sequence[str]) -> tuple[str, ...] | None:
    """The path to the branch that may be a stack; None where there is none."""
    place = next((i for i, name in enumerate(names[:-1]) if name.lower() in _STACKS), None)
    if place is None or any(name.isdecimal() for name in names):
        return None
    return tuple(names[: place + 1])

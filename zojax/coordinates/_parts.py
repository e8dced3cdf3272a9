"""Some of a tree's leaves, and the tree from them again."""

from collections.abc import Sequence
from typing import Any

import jax

from zojax._quantized import QuantizedArray, is_quantized
from zojax._types import Array


def part(tree: Any, chosen: Sequence[bool]) -> Any:
    """The tree with its other leaves replaced by None, which JAX treats as an empty branch.

    Paths stay as they are, and so does the noise that depends on them.
    """
    leaves, structure = jax.tree.flatten(tree)
    kept = [leaf if keep else None for leaf, keep in zip(leaves, chosen, strict=True)]
    return jax.tree.unflatten(structure, kept)


def merged(part_: Any, chosen: Sequence[bool], others: Any) -> Any:
    """The tree ``others`` with the leaves of a part of it put in their places.

    The part may have an array in the place of a quantized weight, as a subspace gives it.
    """
    if len(jax.tree.leaves(part_)) < sum(chosen):
        return _merged_wholes(part_, chosen, others)
    leaves, structure = jax.tree.flatten(others)
    given = iter(jax.tree.leaves(part_))
    filled: list[Array] = [
        next(given) if keep else leaf for leaf, keep in zip(leaves, chosen, strict=True)
    ]
    return jax.tree.unflatten(structure, filled)


def _merged_wholes(part_: Any, chosen: Sequence[bool], others: Any) -> Any:
    is_node = lambda node: isinstance(node, QuantizedArray)  # noqa: E731 - or a part of one
    nodes, structure = jax.tree.flatten(others, is_leaf=is_quantized)
    given, keep = iter(jax.tree.leaves(part_, is_leaf=is_node)), iter(chosen)

    def filled(node: Any) -> Any:
        if not is_quantized(node):
            return next(given) if next(keep) else node
        one, own = next(given), [next(keep) for _ in jax.tree.leaves(node)]
        return merged(one, own, node) if is_node(one) else one

    return jax.tree.unflatten(structure, map(filled, nodes))

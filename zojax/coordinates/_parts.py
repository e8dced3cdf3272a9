"""Some of a tree's leaves, and the tree from them again."""

from collections.abc import Sequence
from typing import Any

import jax

from zojax._types import Array


def part(tree: Any, chosen: Sequence[bool]) -> Any:
    """The tree with its other leaves replaced by None, which JAX treats as an empty branch.

    Paths stay as they are, and so does the noise that depends on them.
    """
    leaves, structure = jax.tree.flatten(tree)
    kept = [leaf if keep else None for leaf, keep in zip(leaves, chosen, strict=True)]
    return jax.tree.unflatten(structure, kept)


def merged(part_: Any, chosen: Sequence[bool], others: Any) -> Any:
    """The tree ``others`` with the leaves of a part of it put in their places."""
    leaves, structure = jax.tree.flatten(others)
    given = iter(jax.tree.leaves(part_))
    filled: list[Array] = [
        next(given) if keep else leaf for leaf, keep in zip(leaves, chosen, strict=True)
    ]
    return jax.tree.unflatten(structure, filled)

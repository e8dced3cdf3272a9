"""The paths of parameters, as users write them."""

from typing import Any

import jax
import jax.numpy as jnp

from zojax.directions import key_paths


def slash_paths(tree: Any) -> list[str]:
    """The path of every leaf in tree order, such as ``"decoder/layers/0/kernel"``."""
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path in key_paths(tree)]


def shapes(tree: Any) -> list[jax.ShapeDtypeStruct]:
    """The shape and dtype of every leaf in tree order.

    A user's function gets these in place of the leaf: it is also called while a step is traced,
    when there are no values to read.
    """
    return [
        jax.ShapeDtypeStruct(jnp.shape(leaf), getattr(leaf, "dtype", None) or jnp.result_type(leaf))
        for leaf in jax.tree.leaves(tree)
    ]

"""The paths of parameters, as users write them."""

from typing import Any

import jax


def slash_paths(tree: Any) -> list[str]:
    """The path of every leaf in tree order, such as ``"decoder/layers/0/kernel"``."""
    return [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]

"""Trees that hold more, or less, than the parameters of a model, as flax and optax make them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

# Collections of linen, beside "params", that a forward pass writes, or a gradient's own rule.
_COLLECTIONS = (
    "_overwrite_with_gradient",
    "batch_stats",
    "cache",
    "intermediates",
    "perturbations",
)
# The same of nnx, by name, for flax may not be installed.
_VARIABLES = ("BatchStat", "Cache", "Intermediate")


def refuse_others(where: str, params: Any) -> None:
    """Refuses a tree with holes, and numbers that a step must not move.

    ``init`` calls it: ``update`` gets the same tree.

    Raises:
      ValueError: ``optax.masked`` or ``optax.partition`` is around the estimator, or running
        statistics, caches and the like are among the parameters.
    """
    nodes = jax.tree.leaves(params, is_leaf=lambda node: isinstance(node, optax.MaskedNode))
    if any(isinstance(node, optax.MaskedNode) for node in nodes):
        raise ValueError(
            f"{where}: params must be the whole tree, for value_fn needs it, got one with holes, "
            f"as optax.masked and optax.partition make it. Put zojax.select around the optimizer "
            f"instead. docs/flax.md shows how."
        )
    found = [*_collections(params), *_variables(params)]
    if found:
        raise ValueError(
            f"{where}: params must hold parameters alone, got {', '.join(found)}, which a step "
            f'would move too. Take variables["params"] of linen, nnx.split(module, nnx.Param, ...) '
            f'of nnx, or put zojax.select(..., "params/*") around the optimizer. docs/flax.md '
            f"shows how."
        )


def _collections(params: Any) -> list[str]:
    """Linen's collections that are no parameters, where ``params`` are a module's variables."""
    if not isinstance(params, Mapping) or "params" not in params:
        return []
    return [name for name in _COLLECTIONS if name in params and _any_float(params[name])]


def _variables(params: Any) -> list[str]:
    """The kinds of nnx's variables that are no parameters."""
    kinds: list[str] = []
    for node in jax.tree.leaves(params, is_leaf=lambda node: _kind(node) is not None):
        kind = _kind(node)
        if kind is not None and kind not in kinds and _any_float(node):
            kinds.append(kind)
    return [f"nnx.{kind}" for kind in kinds]


def _kind(node: Any) -> str | None:
    """Which of nnx's variables a node is, a subclass too."""
    for kind in type(node).__mro__:
        if kind.__name__ in _VARIABLES and kind.__module__.startswith("flax.nnx."):
            return kind.__name__
    return None


def _any_float(tree: Any) -> bool:
    return any(jnp.issubdtype(jnp.result_type(x), jnp.floating) for x in jax.tree.leaves(tree))

"""States as bytes, with the keys that they hold."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import serialization

Tree = TypeVar("Tree")


def to_bytes(tree: Any) -> bytes:
    """``flax.serialization.to_bytes`` of a tree that holds typed keys, as states of zojax do.

    Args:
      tree: Any pytree that flax serialises: a state of an optimizer, a ``TrainState``, a pair of
        parameters and state.

    Returns:
      Its arrays in msgpack, keys as the words that they are.

    Cost: one copy of the tree on the host.

    Examples:
      >>> import jax.numpy as jnp, zojax, zojax.flax
      >>> state = zojax.mezo(1e-2, eps=1e-3, key=7).init(jnp.ones(3))
      >>> again = zojax.flax.from_bytes(state, zojax.flax.to_bytes(state))
      >>> bool(again[0].key == state[0].key)
      True
    """
    return serialization.to_bytes(jax.tree.map(_words, tree))


def from_bytes(like: Tree, encoded: bytes) -> Tree:
    """The tree that :func:`to_bytes` wrote.

    Args:
      like: A tree of the same structure, such as a fresh ``tx.init(params)``. Its keys say of which
        generator those of the result are.
      encoded: What :func:`to_bytes` gave.

    Returns:
      The tree; arrays are NumPy's, as of ``flax.serialization.from_bytes``.

    Cost: one copy of the tree on the host.

    Raises:
      ValueError: ``encoded`` has another structure.
    """
    words = serialization.from_bytes(jax.tree.map(_words, like), encoded)
    return jax.tree.map(_like, like, words)


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _words(x: Any) -> Any:
    return jax.random.key_data(x) if _is_key(x) else x


def _like(x: Any, words: Any) -> Any:
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(x)) if _is_key(x) else words

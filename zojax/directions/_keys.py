"""Keys bound to paths: the noise of a leaf depends on its path, never on its neighbours."""

import hashlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zojax._types import Array


def path_hashes(paths: list[str]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Hashes each path to 64 bits, uint32 [n, 2].

    64 bits rather than 32: a clash could only be mended by letting one leaf's noise depend on
    another leaf's presence, and at 64 bits a tree of a million leaves has one in 4e7 chances.

    Raises:
      ValueError: two paths share a hash, so their leaves would share their noise.
    """
    hashes = [hashlib.blake2s(path.encode(), digest_size=8).digest() for path in paths]
    seen: dict[bytes, str] = {}
    for path, digest in zip(paths, hashes, strict=True):
        if digest in seen:
            raise ValueError(
                f"leaf_keys: parameters {seen[digest]!r} and {path!r} share one path hash and "
                f"would get the same noise; rename one of them."
            )
        seen[digest] = path
    return np.frombuffer(b"".join(hashes), np.uint32).reshape(-1, 2)


def leaf_paths(tree: Any) -> list[str]:
    """The path of every leaf, in tree order, as ``jax.tree_util.keystr`` writes it."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def key_words(key: Array) -> Array:
    """Two words of a typed key [], uint32 [2]: all of a threefry key, the ends of a wider one."""
    return jax.random.key_data(key)[jnp.array([0, -1])]


def leaf_words(key: Array, count: Array, num_queries: int, tree: Any) -> Array:
    """Two random words for every query and leaf, from (key, step, query, path) alone.

    All are drawn in one vectorised call: a ``fold_in`` per leaf costs minutes of compilation on
    a large model.

    Args:
      key: Typed key [].
      count: int32 []: the step.
      num_queries: Number of independent directions, q.
      tree: Parameters; only its paths are read.

    Returns:
      uint32 [q, n, 2] for n leaves.
    """
    return _words(key, count, jnp.asarray(path_hashes(leaf_paths(tree))), num_queries)


@partial(jax.jit, static_argnums=3)
def _words(key: Array, count: Array, hashes: Array, num_queries: int) -> Array:
    step_key = jax.random.fold_in(key, count)

    def words(query: Array, path_hash: Array) -> Array:
        leaf_key = jax.random.fold_in(step_key, query)
        leaf_key = jax.random.fold_in(jax.random.fold_in(leaf_key, path_hash[0]), path_hash[1])
        return key_words(leaf_key)

    over_leaves = jax.vmap(words, in_axes=(None, 0))
    return jax.vmap(over_leaves, in_axes=(0, None))(jnp.arange(num_queries), hashes)

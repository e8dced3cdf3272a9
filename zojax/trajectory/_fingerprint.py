"""A name for parameters that no other parameters have."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from zojax._types import Params


def fingerprint(params: Params) -> str:
    """SHA-256 of any tree of arrays: of paths, shapes, dtypes and bits, wherever the arrays lie.

    An adapter's file names its base model by it. A tree of nested dicts and one of other nodes with
    the same keys have the same one.

    Cost: reads every parameter once, and copies none of those that lie in host memory.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = [
        (tuple(jax.tree_util.keystr((k,), simple=True) for k in p), leaf) for p, leaf in leaves
    ]
    # Hashing lets go of the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = pool.map(_digest, sorted(named, key=lambda item: item[0]))
        return hashlib.sha256(b"".join(digests)).hexdigest()


def _digest(item: tuple[tuple[str, ...], Any]) -> bytes:
    path, leaf = item
    shape = np.shape(leaf)  # ascontiguousarray would make [1] of a scalar's []
    array = np.ascontiguousarray(leaf)
    digest = hashlib.sha256(json.dumps([path, shape, str(array.dtype)]).encode())
    digest.update(array.reshape(-1).view(np.uint8).data)  # no copy
    return digest.digest()

"""A hash that identifies parameters."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from zojax._types import Params
from zojax.directions import key_paths


def fingerprint(params: Params) -> str:
    """Return the SHA-256 of a tree of arrays: of its paths, shapes, dtypes and bits.

    It does not depend on the devices of the arrays. A tree of nested dicts and a tree of other
    nodes with the same keys have the same fingerprint. An adapter's file identifies its base model
    by it.

    Cost: reads every parameter once; parameters in host memory are not copied.
    """
    leaves = zip(key_paths(params), jax.tree.leaves(params), strict=True)
    named = [
        (tuple(jax.tree_util.keystr((k,), simple=True) for k in p), leaf) for p, leaf in leaves
    ]
    # hashlib releases the interpreter's lock, so threads hash in parallel.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = pool.map(_digest, sorted(named, key=lambda item: item[0]))
        return hashlib.sha256(b"".join(digests)).hexdigest()


def _digest(item: tuple[tuple[str, ...], Any]) -> bytes:
    path, leaf = item
    shape = np.shape(leaf)  # taken before ascontiguousarray, which changes the shape [] to [1]
    array = np.ascontiguousarray(leaf)
    digest = hashlib.sha256(json.dumps([path, shape, str(array.dtype)]).encode())
    digest.update(array.reshape(-1).view(np.uint8).data)  # a view, not a copy
    return digest.digest()

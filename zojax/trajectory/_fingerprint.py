"""A name for parameters that no other parameters have."""

from __future__ import annotations

import jax

from zojax._types import Params
from zojax.adapters._adapter import nested
from zojax.adapters._files import fingerprint as _of_dicts


def fingerprint(params: Params) -> str:
    """SHA-256 of any tree of arrays: of paths, shapes, dtypes and bits.

    Of nested dicts it is the one that an adapter's file has of its base model.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    paths = {tuple(jax.tree_util.keystr((k,), simple=True) for k in path): x for path, x in leaves}
    return _of_dicts(nested(paths))

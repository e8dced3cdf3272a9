"""Meshes of the eight devices that the tests' CPU is split in."""

from __future__ import annotations

import jax
import numpy as np
from jax.sharding import Mesh


def mesh_of_eight(*names: str) -> Mesh:
    """Of one axis of 8, or of two of 2 and 4."""
    shape = (8,) if len(names) == 1 else (2, 4)
    return Mesh(np.array(jax.devices()).reshape(shape), names)

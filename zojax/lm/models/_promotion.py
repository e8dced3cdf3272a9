"""Flax's modules under JAX's strict settings."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import jax


@contextlib.contextmanager
def lenient() -> Generator[None]:
    """Allow promotion of dtypes and ranks, which Flax's and transformers' modules need."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield

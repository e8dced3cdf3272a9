"""A point's perturbation of a model's weights as a LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.adapters import LoRA
from zojax.lm.models import LanguageModel, Params


class Thin(Protocol):
    """Two thin factors; see :class:`zojax.asking.Factors`."""

    @property
    def a(self) -> Array: ...
    @property
    def b(self) -> Array: ...
    @property
    def stack(self) -> int: ...


class PointAdapter(Protocol):
    """What a point adds to a model's parameters; see :class:`zojax.asking.Adapter`."""

    @property
    def matrices(self) -> Mapping[str, Any]: ...
    @property
    def vectors(self) -> Mapping[str, Array]: ...


def as_lora(added: PointAdapter, model: LanguageModel) -> tuple[LoRA, Params]:
    """What a point adds to a model's weights, as a LoRA of it.

    Args:
      added: What ``point.adapter(params)`` gives, for parameters like the model's: factors of dense
        modules' kernels, such as ``"layers/q_proj/kernel"``, and of nothing else.
      model: The model, of which shapes are read.

    Returns:
      The adapter, with α = r, and its parameters: W + ab is what the model computes with.

    Cost: a copy of the factors.

    Raises:
      ValueError: Something else than a kernel of a dense module moves, or nothing does.
    """
    kernels = [path.removesuffix("/kernel") for path in added.matrices if path.endswith("/kernel")]
    others = [path for path in added.matrices if not path.endswith("/kernel")]
    others += added.vectors
    if others or not kernels:
        raise ValueError(
            f"as_lora: point must add to kernels of dense modules alone, got {others[:5]}. Put "
            f'zojax.select(..., "*_proj/kernel") around the optimizer.'
        )
    rank = max(added.matrices[f"{path}/kernel"].a.shape[-1] for path in kernels)
    targets = tuple(sorted({path.split("/")[-1] for path in kernels}))
    adapter = LoRA(rank=rank, alpha=float(rank), targets=targets)
    shapes = jax.eval_shape(lambda: adapter.initial(model, jax.random.key(0)))
    # A module that stays, such as one of a layer that is not scanned, adds nothing.
    own = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    for path in kernels:
        place = own
        for name in path.split("/"):
            place = place.get(name, {})
        a, b = _factors(added.matrices[f"{path}/kernel"], rank)
        found = {name: leaf.shape for name, leaf in place.items()}
        if found != {"a": a.shape, "b": b.shape}:
            raise ValueError(
                f"as_lora: point must add to the kernels of this model, got factors of shapes "
                f"{a.shape} and {b.shape} for {path!r}, where a LoRA has {found or 'none'}."
            )
        place.update(a=a, b=b)
    return adapter, own


def _factors(thin: Thin, rank: int) -> tuple[Array, Array]:
    """A and B of every layer, with zeros up to the rank."""
    a, b = thin.a, thin.b
    # One b serves all layers where these are rows of one matrix.
    b = jnp.broadcast_to(b, (*a.shape[: a.ndim - 2], *b.shape[thin.stack :]))
    missing = rank - a.shape[-1]
    a = jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, missing)])
    return a, jnp.pad(b, [(0, 0)] * (b.ndim - 2) + [(0, missing), (0, 0)])

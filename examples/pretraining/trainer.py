"""The model in training: AdamW on the weighted loss."""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization

import zojax.lm.models
from pretraining.batches import Batch

WARMUP_STEPS = 100
WEIGHT_DECAY = 0.05


class Trainer:
    """A model's parameters, the optimizer's state and the compiled functions on them.

    Args:
      family: The module ``opt`` or ``roberta``.
      model: Made by that module.
      params: What training starts from.
    """

    def __init__(self, family: ModuleType, model: Any, params: Any) -> None:
        self.model = model
        self.params = params
        decayed = jax.tree.map(lambda leaf: leaf.ndim > 1, self.params)
        self._optimizer = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.scale_by_adam(b2=0.98),
            optax.add_decayed_weights(WEIGHT_DECAY, mask=decayed),
        )
        self._state = self._optimizer.init(self.params)
        self._logits_at = functools.partial(family.logits_at, model)
        self.logits_at = jax.jit(self._logits_at)
        self._loss = jax.jit(self._weighted_loss)

    def step(self, batch: Batch, rate: float) -> jax.Array:
        self.params, self._state, loss = self._update(self.params, self._state, batch, rate)
        return loss

    def _weighted_loss(self, params: Any, batch: Batch) -> jax.Array:
        logits = self._logits_at(params, batch.ids, batch.places)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
        return jnp.sum(losses * batch.weights) / jnp.sum(batch.weights)

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
    def _update(
        self, params: Any, state: optax.OptState, batch: Batch, rate: float
    ) -> tuple[Any, optax.OptState, jax.Array]:
        loss, grads = jax.value_and_grad(self._weighted_loss)(params, batch)
        updates, state = self._optimizer.update(grads, state, params)
        return jax.tree.map(lambda p, u: p - rate * u, params, updates), state, loss

    def validation_loss(self, validation: list[Batch]) -> float:
        return float(np.mean([self._loss(self.params, batch) for batch in validation]))

    def save(self, folder: Path) -> None:
        """Write the model with its weights in half precision."""
        half = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), self.params)
        self.model.save_pretrained(folder, params=half, safe_serialization=True)
        # Again, under the names of transformers' PyTorch model, which more programs read.
        written = zojax.lm.models.load(folder, dtype="float16")
        written.save(written.params, folder)

    def write_checkpoint(self, file: Path, step: int, seconds: float) -> None:
        """Write all that is needed to go on, in place of an older file."""
        new = file.with_suffix(".new")
        new.write_bytes(serialization.to_bytes((self.params, self._state, step, seconds)))
        new.replace(file)

    def read_checkpoint(self, file: Path) -> tuple[int, float]:
        """Go on from a checkpoint; return its step and the seconds until then."""
        like = (self.params, self._state, 0, 0.0)
        read = serialization.from_bytes(like, file.read_bytes())
        self.params, self._state = jax.tree.map(jnp.asarray, read[:2])
        return read[2], read[3]


def learning_rate(peak: float, step: int, progress: float) -> float:
    """Warm up over steps, then fall linearly over the budget to 2% of the peak."""
    return peak * min((step + 1) / WARMUP_STEPS, 1.0) * (1.0 - 0.98 * progress)

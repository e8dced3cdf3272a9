"""Classification by label words: the loss, and what is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from zojax.models import LanguageModel
from zojax.models._language_model import Params
from zojax.tasks._batches import Batch
from zojax.tasks._prompt import PromptTokens


class Totals(NamedTuple):
    """Sums over a batch's examples."""

    loss: Array  # float32 []: nats
    correct: Array  # float32 []: examples predicted right
    examples: Array  # float32 []: how many there are


@dataclass(frozen=True)
class Classification:
    r"""Choose the label word that the model finds likeliest after the prompt.

    Class c scores :math:`s_c = \frac{1}{L_c} \sum_j \log p(w_{c,j} \mid \text{prompt},
    w_{c,<j})`, its word's mean log-likelihood over its tokens (Malladi et al., 2023,
    arXiv:2305.17333). The loss is the cross entropy of softmax(s); the prediction is argmax s.

    Attributes:
      model: The language model; its ``params`` are not used, every method takes its own.
      tokens: The prompt's tokens.
    """

    model: LanguageModel
    tokens: PromptTokens

    def scores(self, params: Params, batch: Batch) -> Array:
        """Score every class: float32 [B, C].

        Cost: one forward pass over the batch's rows. For words of one token the scores are
        logits, which differ from log-likelihoods by a constant of the row.
        """
        num_classes, word_length = self.tokens.label_ids.shape
        ids, mask = jnp.asarray(batch.input_ids), jnp.asarray(batch.attention_mask)
        last = jnp.asarray(batch.last)
        label_ids = jnp.asarray(self.tokens.label_ids)
        if self.tokens.one_token:
            logits = self.model.logits_at(params, ids, mask, last[:, None], label_ids[:, 0])
            return logits[:, 0]
        positions = last[:, None] + jnp.arange(word_length, dtype=jnp.int32)[None]
        # A shorter word's positions beyond its end carry no weight; keep them inside the row.
        positions = jnp.minimum(positions, ids.shape[1] - 1)
        log_p = jax.nn.log_softmax(self.model.logits_at(params, ids, mask, positions), axis=-1)
        log_p = log_p.reshape(-1, num_classes, word_length, log_p.shape[-1])
        targets = jnp.broadcast_to(label_ids[None, :, :, None], (*log_p.shape[:3], 1))
        log_p = jnp.take_along_axis(log_p, targets, axis=-1)[..., 0]
        share = self.tokens.label_mask / self.tokens.label_mask.sum(1, keepdims=True)
        return jnp.sum(log_p * jnp.asarray(share)[None], axis=-1)

    def totals(self, params: Params, batch: Batch) -> Totals:
        """Sum loss and hits over the batch's examples. Cost: one forward pass."""
        scores = self.scores(params, batch)
        labels, weights = jnp.asarray(batch.labels), jnp.asarray(batch.weights)
        losses = -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)[:, 0]
        hits = (jnp.argmax(scores, axis=1).astype(jnp.int32) == labels).astype(jnp.float32)
        return Totals(jnp.sum(losses * weights), jnp.sum(hits * weights), jnp.sum(weights))

    def loss(self, params: Params, batch: Batch) -> Array:
        """Mean cross entropy over the batch's examples, float32 [], nats."""
        totals = self.totals(params, batch)
        return totals.loss / totals.examples

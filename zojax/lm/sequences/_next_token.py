"""The loss of the next token, on the tokens that are learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from zojax.lm.models import LanguageModel, Params
from zojax.lm.sequences._tokens import SequenceTokens
from zojax.lm.tasks import Batch, row_scores


class TokenTotals(NamedTuple):
    """Sums over a batch's rows."""

    loss: Array  # float32 []: sum of the losses of tokens, nats
    tokens: Array  # float32 []: number of tokens that are predicted
    examples: Array  # float32 []: number of rows


@dataclass(frozen=True)
class NextToken:
    r"""Predict each learnt token from those before it.

    The loss of a batch is :math:`-\frac{1}{T} \sum_t \log p(w_t \mid w_{<t})`, the mean over the T
    learnt tokens of all its rows, so that a long answer counts for more than a short one.

    Attributes:
      model: The language model; its ``params`` are not used, because methods take parameters.
      tokens: How texts become tokens.
    """

    model: LanguageModel
    tokens: SequenceTokens

    def loss(self, params: Params, batch: Batch) -> Array:
        """Mean cross entropy per learnt token of a batch for training, float32 [], nats.

        Cost: one forward pass, with the head at the learnt positions, [B, P, V] float32 logits.
        """
        weights = jnp.asarray(batch.weights)
        sums = row_scores(self.model, params, batch).mean_log_likelihood
        return -jnp.sum(sums * weights) / jnp.sum(weights)

    def totals(self, params: Params, batch: Batch) -> TokenTotals:
        """Sum the losses of a batch for evaluation, whose tokens have weight 1."""
        weights = jnp.asarray(batch.weights)
        sums = row_scores(self.model, params, batch).mean_log_likelihood
        tokens = jnp.sum(jnp.asarray(batch.target_weights), axis=-1)
        return TokenTotals(-jnp.sum(sums * weights), jnp.sum(tokens * weights), jnp.sum(weights))

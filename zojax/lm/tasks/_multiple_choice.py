"""Multiple choice: each example has its own texts to choose from."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from zojax.lm.models import LanguageModel, Params
from zojax.lm.tasks._prompt_set import Batch
from zojax.lm.tasks._scores import Totals, row_scores, weighted_totals
from zojax.lm.tasks._tokens import PromptTokens


@dataclass(frozen=True)
class MultipleChoice:
    r"""Choose the text whose tokens the model finds most likely, on average, in the prompt.

    The score of choice c is the mean log-likelihood of its tokens,
    :math:`s_c = \frac{1}{L_c} \sum_j \log p(w_{c,j} \mid \text{prompt}, w_{c,<j})`; the
    prediction is argmax s. The loss is :math:`-s` of the right choice alone (Malladi et al., 2023,
    arXiv:2305.17333), so a training batch needs the right choices' rows and no others.

    Attributes:
      model: The language model; its ``params`` are not used, because methods take parameters.
      tokens: The prompt's tokens.
    """

    model: LanguageModel
    tokens: PromptTokens

    def scores(self, params: Params, batch: Batch) -> Array:
        """Return the score of every choice, float32 [B, C]; -inf beyond an example's last choice.

        Cost: one forward pass over the batch's rows.
        """
        scores = row_scores(self.model, params, batch).mean_log_likelihood
        exists = jnp.any(jnp.asarray(batch.target_weights) > 0, axis=-1)
        scores = jnp.where(exists, scores, jnp.array(-jnp.inf, jnp.float32))
        return scores.reshape(batch.labels.shape[0], -1)

    def totals(self, params: Params, batch: Batch) -> Totals:
        """Sum loss and hits over the examples of an evaluation batch. Cost: one forward pass."""
        scores = self.scores(params, batch)
        labels = jnp.asarray(batch.labels)
        chosen = jnp.argmax(scores, axis=1)
        hits = jnp.take_along_axis(jnp.asarray(batch.right), chosen[:, None], axis=1)[:, 0]
        losses = -jnp.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
        return weighted_totals(losses, hits, jnp.asarray(batch.weights))

    def loss(self, params: Params, batch: Batch) -> Array:
        """Mean negative log-likelihood per token of the right choices, float32 [], nats."""
        totals = self.totals(params, batch)
        return totals.loss / totals.examples

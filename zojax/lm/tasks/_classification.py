"""Classification by label words: loss and accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.models import LanguageModel, Params
from zojax.lm.tasks._prompt_set import Batch
from zojax.lm.tasks._scores import Totals, row_scores, weighted_totals
from zojax.lm.tasks._tokens import PromptTokens


@dataclass(frozen=True)
class Classification:
    r"""Choose the label word that the model finds most likely in the prompt.

    Class c scores :math:`s_c = \frac{1}{L_c} \sum_j \log p(w_{c,j} \mid \text{prompt},
    w_{c,<j})`, the mean log-likelihood of its word's tokens (Malladi et al., 2023,
    arXiv:2305.17333). A masked model reads :math:`L_c` mask tokens in the word's place, and
    predicts a token at each of them. The loss is the cross entropy of softmax(s); the prediction is
    argmax s.

    Attributes:
      model: The language model; its ``params`` are not used, because methods take parameters.
      tokens: The prompt's tokens.
    """

    model: LanguageModel
    tokens: PromptTokens

    def scores(self, params: Params, batch: Batch) -> Array:
        """Return the score of every class, float32 [B, C].

        Cost: one forward pass over the batch's rows. If every word is one token, the scores are
        logits, which differ from log-likelihoods by a constant for each row.
        """
        if self.tokens.one_token:
            ids, mask = jnp.asarray(batch.input_ids), jnp.asarray(batch.attention_mask)
            words = jnp.asarray(self.tokens.label_ids)[:, 0]
            positions = jnp.asarray(batch.positions)
            return self.model.logits_at(params, ids, mask, positions, words)[:, 0]
        scores = row_scores(self.model, params, batch).mean_log_likelihood
        return scores.reshape(-1, self.tokens.num_classes)

    def totals(self, params: Params, batch: Batch) -> Totals:
        """Sum loss and hits over the batch's examples. Cost: one forward pass."""
        return _totals(self.scores(params, batch), batch)

    def confusion(self, params: Params, batch: Batch) -> tuple[Totals, Array]:
        """Sum as :meth:`totals` does, and count which class is taken for which.

        Returns:
          The totals, and the number of examples of each class (row) for which each class (column)
          is predicted, float32 [C, C].

        Cost: one forward pass.
        """
        scores = self.scores(params, batch)
        right = jax.nn.one_hot(jnp.asarray(batch.labels), scores.shape[1])
        chosen = jax.nn.one_hot(jnp.argmax(scores, axis=1), scores.shape[1])
        weighted = right * jnp.asarray(batch.weights)[:, None]
        return _totals(scores, batch), jnp.einsum("bi,bj->ij", weighted, chosen)

    def loss(self, params: Params, batch: Batch) -> Array:
        """Mean cross entropy over the batch's examples, float32 [], nats."""
        totals = self.totals(params, batch)
        return totals.loss / totals.examples


def _totals(scores: Array, batch: Batch) -> Totals:
    labels, weights = jnp.asarray(batch.labels), jnp.asarray(batch.weights)
    losses = -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)[:, 0]
    hits = jnp.argmax(scores, axis=1).astype(jnp.int32) == labels
    return weighted_totals(losses, hits, weights)

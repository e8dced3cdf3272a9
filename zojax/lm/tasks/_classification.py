"""Classification by label words: loss and accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.models import LanguageModel, Params
from zojax.lm.tasks._prompt_set import Batch, View
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

    A bias of the model's classes is added to the scores. A model with a head of classes scores them
    by its product with the hidden state at the place that predicts the label's first token, and
    reads no label word.

    Attributes:
      model: The language model; its ``params`` are not used, because methods take parameters.
      tokens: The prompt's tokens.
    """

    model: LanguageModel
    tokens: PromptTokens

    @property
    def view(self) -> View:
        """Which rows of an example all scores need: its prompt, if the classes have a head."""
        return "candidates" if self.model.scores is None else "prompt"

    def scores(self, params: Params, batch: Batch) -> Array:
        """Return the score of every class, float32 [B, C].

        Cost: one forward pass over the batch's rows. If every word is one token, the scores are
        logits, which differ from log-likelihoods by a constant for each row. A head of classes
        needs a batch with the view ``"prompt"``, of one row for each example.
        """
        if self.model.scores is not None:
            return self.model.scores(params, self.features(params, batch))
        scores = self._word_scores(params, batch)
        return scores if self.model.bias is None else scores + self.model.bias(params)[None]

    def features(self, params: Params, batch: Batch) -> Array:
        """Return the hidden states that a head reads, [B, H], in the model's dtype.

        Cost: one forward pass over the rows of a batch with the view ``"prompt"``.
        """
        ids, mask = jnp.asarray(batch.input_ids), jnp.asarray(batch.attention_mask)
        hidden, _ = self.model.hidden(params, ids, mask)
        return jnp.take_along_axis(hidden, jnp.asarray(batch.positions)[:, :1, None], axis=1)[:, 0]

    def _word_scores(self, params: Params, batch: Batch) -> Array:
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

"""Generation: write an answer, trained by teacher forcing."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from zojax.models import LanguageModel
from zojax.models._language_model import Params
from zojax.tasks._prompt_set import Batch
from zojax.tasks._scores import Totals, row_scores, weighted_totals
from zojax.tasks._tokens import PromptTokens


@dataclass(frozen=True)
class Generation:
    r"""Write the answer and a line break.

    The loss is the first right answer's mean negative log-likelihood
    :math:`-\frac{1}{L} \sum_j \log p(w_j \mid \text{prompt}, w_{<j})`, each token read after the
    right ones before it (teacher forcing; Malladi et al., 2023, arXiv:2305.17333). An example is
    right where greedy decoding would write that answer to the letter, as it does if each token is
    the likeliest after the right ones before it. F1 of what a model writes needs decoding: see
    :func:`decoding_batches` and :func:`f1`.

    Attributes:
      model: The language model; its ``params`` are not used, every method takes its own.
      tokens: The prompt's tokens.
    """

    model: LanguageModel
    tokens: PromptTokens

    def totals(self, params: Params, batch: Batch) -> Totals:
        """Sum loss and hits over the batch's examples. Cost: one forward pass."""
        scores = row_scores(self.model, params, batch)
        weights = jnp.asarray(batch.weights)
        return weighted_totals(-scores.mean_log_likelihood, scores.likeliest, weights)

    def loss(self, params: Params, batch: Batch) -> Array:
        """Mean negative log-likelihood of a token of the answers, float32 [], nats."""
        totals = self.totals(params, batch)
        return totals.loss / totals.examples

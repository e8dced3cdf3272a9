"""Generation of answers, trained by teacher forcing."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from zojax.lm.decoding import greedy, stop_tokens
from zojax.lm.models import LanguageModel, Params
from zojax.lm.tasks._prompt_set import Batch
from zojax.lm.tasks._scores import Totals, row_scores, weighted_totals
from zojax.lm.tasks._tokens import PromptTokens


@dataclass(frozen=True)
class Generation:
    r"""Generate the answer and a line break.

    The loss is the mean negative log-likelihood of the first right answer's tokens,
    :math:`-\frac{1}{L} \sum_j \log p(w_j \mid \text{prompt}, w_{<j})`, where each token is
    predicted from the right ones before it (teacher forcing; Malladi et al., 2023,
    arXiv:2305.17333). An example counts as right if greedy decoding would generate exactly that
    answer, that is, if each token is the most likely one after the right ones before it. F1 of
    generated answers needs :meth:`write`.

    Attributes:
      model: The language model; its ``params`` are not used, because methods take parameters.
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
        """Mean negative log-likelihood per token of the right answers, float32 [], nats."""
        totals = self.totals(params, batch)
        return totals.loss / totals.examples

    def write(self, params: Params, batch: Batch) -> Array:
        """Generate an answer to each prompt, by :func:`zojax.lm.decoding.greedy`.

        Args:
          params: A tree shaped like the model's parameters.
          batch: A batch with the view ``"prompt"``; see :func:`decoding_batches`.

        Returns:
          Token ids, int32 [B, N] for a task of at most N new tokens;
          :func:`zojax.lm.decoding.texts` turns them into texts.
        """
        return greedy(
            self.model,
            params,
            batch.input_ids,
            batch.attention_mask,
            max_new_tokens=self.tokens.task.max_new_tokens,
            stop_tokens=stop_tokens(self.model.tokenizer),
        )

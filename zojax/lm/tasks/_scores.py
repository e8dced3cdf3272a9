"""Log-likelihoods of the candidates of a batch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.models import LanguageModel, Params
from zojax.lm.tasks._prompt_set import Batch


class Totals(NamedTuple):
    """Sums over a batch's examples."""

    loss: Array  # float32 []: sum of the losses, nats
    correct: Array  # float32 []: number of examples that are predicted right
    examples: Array  # float32 []: number of examples


class RowScores(NamedTuple):
    """Scores of the rows of a batch."""

    mean_log_likelihood: Array  # float32 [R]: mean over the candidate's tokens; 0 if it has none
    likeliest: Array  # bool [R]: whether every token of the candidate has the largest logit


def row_scores(model: LanguageModel, params: Params, batch: Batch) -> RowScores:
    """Score each row's candidate by the mean log-likelihood of its tokens.

    Cost: one forward pass over the rows, with [R, P, V] float32 logits at the P positions that
    predict candidates' tokens.
    """
    logits = model.logits_at(
        params,
        jnp.asarray(batch.input_ids),
        jnp.asarray(batch.attention_mask),
        jnp.asarray(batch.positions),
    )
    targets, weights = jnp.asarray(batch.targets), jnp.asarray(batch.target_weights)
    picked = jnp.take_along_axis(logits, targets[:, :, None], axis=-1)[:, :, 0]
    # log_softmax would make a second array of the logits' size.
    log_p = picked - jax.nn.logsumexp(logits, axis=-1)
    likeliest = (jnp.argmax(logits, axis=-1).astype(jnp.int32) == targets) | (weights == 0)
    return RowScores(jnp.sum(log_p * weights, axis=-1), jnp.all(likeliest, axis=-1))


def weighted_totals(losses: Array, correct: Array, weights: Array) -> Totals:
    """Sum losses, hits and weights over the examples; the three arguments are [B]."""
    hits = correct.astype(jnp.float32)
    return Totals(jnp.sum(losses * weights), jnp.sum(hits * weights), jnp.sum(weights))

"""Objectives that are a task's metric itself, which no gradient can follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from jax import Array

from zojax.lm.decoding import text_objective
from zojax.lm.models import Params
from zojax.lm.tasks._answers import f1
from zojax.lm.tasks._classification import Classification
from zojax.lm.tasks._example import Example
from zojax.lm.tasks._generation import Generation
from zojax.lm.tasks._multiple_choice import MultipleChoice
from zojax.lm.tasks._prompt_set import Batch

BatchLoss: TypeAlias = Callable[[Params, Batch], Array]
"""``loss(params, batch) -> float32 []``."""


def negative_accuracy(task: Classification | MultipleChoice) -> BatchLoss:
    """Return ``loss(params, batch)``: minus the fraction of the batch's examples that are right.

    Args:
      task: Of a kind that chooses.

    Returns:
      A step function of the parameters, between -1 and 0. Its batches have the view
      ``"candidates"``, for a choice is right by being better than the others.

    Cost: one forward pass over the rows of all candidates.
    Error: As :func:`zojax.lm.decoding.text_objective` says of all step functions; its smallest
      step is one example of the batch.
    """

    def loss(params: Params, batch: Batch) -> Array:
        totals = task.totals(params, batch)
        return -totals.correct / totals.examples

    return loss


def negative_f1(task: Generation, examples: Sequence[Example]) -> BatchLoss:
    """Return ``loss(params, batch)``: minus the mean F1 of what the model writes.

    Args:
      task: Of the kind that writes; by greedy decoding, of ``max_new_tokens`` at most.
      examples: Those of the set that batches are drawn from; they know the right answers.

    Returns:
      A step function of the parameters, between -1 and 0. Its batches have the view ``"prompt"``.

    Cost: :func:`zojax.lm.decoding.greedy`'s, and a call from the device to Python, where texts are
      compared.
    Error: As :func:`zojax.lm.decoding.text_objective` says.
    """

    def cost(written: list[str], members: np.ndarray, weights: np.ndarray) -> float:
        scores = [f1(text, examples[i].answers) for text, i in zip(written, members, strict=True)]
        return -float(np.average(scores, weights=weights))

    words = text_objective(task.model, cost, max_new_tokens=task.tokens.task.max_new_tokens)

    def loss(params: Params, batch: Batch) -> Array:
        ids, mask = batch.input_ids, batch.attention_mask
        return words(params, ids, mask, batch.members, batch.weights)

    return loss

"""Objectives that are a task's metric itself, whose gradient is zero almost everywhere."""

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
      task: A task of classification or multiple choice.

    Returns:
      A loss that is a step function of the parameters, between -1 and 0. Its batches need the view
      ``"candidates"``, because a choice is right only if its score exceeds all others.

    Cost: one forward pass over the rows of all candidates.
    Error: that of any step function, see :func:`zojax.lm.decoding.text_objective`; its smallest
      step is one example of the batch.
    """

    def loss(params: Params, batch: Batch) -> Array:
        totals = task.totals(params, batch)
        return -totals.correct / totals.examples

    return loss


def negative_f1(task: Generation, examples: Sequence[Example]) -> BatchLoss:
    """Return ``loss(params, batch)``: minus the mean F1 of the generated answers.

    Args:
      task: A task of generation; answers have at most its ``max_new_tokens`` and are decoded
        greedily.
      examples: The set that batches are drawn from, with the right answers.

    Returns:
      A loss that is a step function of the parameters, between -1 and 0. Its batches need the view
      ``"prompt"``.

    Cost: that of :func:`zojax.lm.decoding.greedy`, and a call from the device to Python, where
      texts are compared.
    Error: that of any step function, see :func:`zojax.lm.decoding.text_objective`.
    """

    def cost(written: list[str], members: np.ndarray, weights: np.ndarray) -> float:
        scores = [f1(text, examples[i].answers) for text, i in zip(written, members, strict=True)]
        return -float(np.average(scores, weights=weights))

    objective = text_objective(task.model, cost, max_new_tokens=task.tokens.task.max_new_tokens)

    def loss(params: Params, batch: Batch) -> Array:
        ids, mask = batch.input_ids, batch.attention_mask
        return objective(params, ids, mask, batch.members, batch.weights)

    return loss

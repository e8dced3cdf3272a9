"""The share of the largest class: what a model that always says the same would score."""

from __future__ import annotations

import numpy as np

from zojax.lm.rewards import RewardTask
from zojax.lm.sequences import NextToken
from zojax.lm.tasks import Objective
from zojax.lm.training._evaluation import Measured


def majority_metrics(task: Objective | NextToken | RewardTask, dev: Measured) -> dict[str, float]:
    """The largest class's share of dev under its name in metrics.jsonl.

    Args:
      task: The task that the examples are of.
      dev: At least one example.

    Returns:
      Nothing for a task without classes.
    """
    if isinstance(task, NextToken | RewardTask) or task.tokens.task.kind != "classification":
        return {}
    # A row that only fills a batch up has weight 0.
    counts = sum(
        np.bincount(batch.labels, batch.weights, minlength=task.tokens.num_classes)
        for batch in dev.batches
    )
    return {"dev_majority": float(np.max(counts) / np.sum(counts))}

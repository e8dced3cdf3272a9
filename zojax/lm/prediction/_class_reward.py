"""A run with classes as a reward of what another model writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zojax.lm.prediction._tuned_run import load_run


def class_reward(
    run: str | Path, label: str | None = None
) -> Callable[[list[str], list[dict[str, Any]]], list[float]]:
    """Return ``reward(completions, rows)``: the probability of a class, by a run's best step.

    A completion without any text has the reward 0.

    Args:
      run: The folder of a run on a task of classification with one text.
      label: The class; None for the last one.

    Raises:
      FileNotFoundError: The folder is not a run, or it has no such model.
      ValueError: The run has not such a class, or is of another kind.
    """
    found = load_run(run)
    labels = found.labels
    if not labels or len(found.task.fields) != 1:
        raise ValueError(
            f"class_reward: run must be one of classification of one text, got {run}, of rows of "
            f"kind {found.kind}."
        )
    wanted = labels[-1] if label is None else label
    if wanted not in labels:
        raise ValueError(f"class_reward: label must be one of {', '.join(labels)}, got {wanted!r}.")

    def reward(completions: list[str], rows: list[dict[str, Any]]) -> list[float]:
        del rows
        texts = [text if text.strip() else None for text in completions]
        each = found.predict_each(texts)
        return [0.0 if one is None else one.scores[wanted] for one in each]

    return reward

"""What a run with workers cannot have."""

from __future__ import annotations

import math
from typing import Any

from zojax.lm.settings._data_config import at_least_one

# Their steps need derivatives, or losses at points that depend on the step's other losses.
_NEED_MORE = (
    *("adam", "sgd", "forward_gradient_sgd"),
    *("zo_sgd_conservative", "zo_sgd_blockwise"),
)


def check_workers(config: Any) -> None:
    """Refuse what a run with workers cannot have.

    Args:
      config: A :class:`FinetuneConfig`, which checks itself so.

    Raises:
      ValueError: A setting does not go with workers, or is for them alone.
    """
    if config.workers is None:
        if config.worker_seconds is not None:
            raise ValueError(
                f"finetune: worker_seconds needs workers, got {config.worker_seconds:g} without. "
                "Give both, or neither."
            )
        return
    at_least_one("workers", config.workers)
    if config.worker_seconds is not None and not 0 < config.worker_seconds < math.inf:
        raise ValueError(f"finetune: worker_seconds must be > 0, got {config.worker_seconds}.")
    if config.optimizer in _NEED_MORE:
        raise ValueError(
            f"finetune: optimizer must be one that needs losses at given points alone with "
            f"workers, got {config.optimizer}. Take es, mezo or zo_adamu, say."
        )
    others = {
        "mesh": config.mesh,
        "parallel": config.parallel,
        "minutes": config.minutes,
        "objective": None if config.objective == "loss" else config.objective,
        "evaluation": config.hyper.evaluation if config.hyper.evaluation == "in_place" else None,
        "learning_rate": "auto" if config.hyper.learning_rate == "auto" else None,
    }
    why = {
        "mesh": "each worker has the whole model",
        "parallel": "each worker has the whole model",
        "minutes": "a step's time depends on who answers; give steps or passes",
        "objective": "workers evaluate the loss, or a reward",
        "evaluation": "workers evaluate copies",
        "learning_rate": "rates are tried by the steps of one process; give a number",
    }
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"finetune: {name} must be left out with workers, got {value}: {why[name]}."
            )

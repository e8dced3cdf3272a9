"""What a step of a run costs."""

from __future__ import annotations

from typing import Any

from zojax.coordinates import find_blocks
from zojax.lm.training._config import FinetuneConfig
from zojax.passes import GRADIENT, Passes, of_step


def passes_of_a_step(config: FinetuneConfig, params: Any) -> Passes:
    """The passes that a step of a run takes.

    Args:
      config: Resolved: with the optimizer's defaults filled in.
      params: What is tuned, of which ``zo_sgd_blockwise`` reads the paths; others read nothing.
    """
    if config.optimizer in ("adam", "sgd"):
        return GRADIENT
    by_block = config.optimizer == "zo_sgd_blockwise"
    return of_step(
        config.optimizer,
        num_queries=config.hyper.num_queries or 1,
        difference=config.hyper.difference or "central",
        blocks=len(find_blocks("finetune", params, "layers")) if by_block else 1,
    )

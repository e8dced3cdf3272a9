"""The cost of a step of a run, in forward passes."""

from __future__ import annotations

from typing import Any

from zojax.coordinates import find_blocks
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._rate import queries_of
from zojax.passes import GRADIENT, Passes, of_step


def passes_of_a_step(config: FinetuneConfig, params: Any) -> Passes:
    """Count the passes of a step of a run.

    Args:
      config: A resolved configuration, with the optimizer's defaults filled in.
      params: The trainable parameters; only ``zo_sgd_blockwise`` needs them, and only their paths.
    """
    if config.optimizer in ("adam", "sgd"):
        return GRADIENT
    by_block = config.optimizer == "zo_sgd_blockwise"
    return of_step(
        config.optimizer,
        num_queries=queries_of(config),
        difference=config.hyper.difference or "central",
        blocks=len(find_blocks("finetune", params, "layers")) if by_block else 1,
    )

"""A run in a subspace: when its coordinates are folded, and its parameters as they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import zojax
from zojax.lm.models import Params
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._defaults import REFRESH

AfterStep: TypeAlias = Callable[[int, Params, Any], tuple[Params, Any]]
"""``after(step, params, state) -> (params, state)``; may donate its arguments."""


def folding(config: FinetuneConfig) -> AfterStep:
    """What is done after every step of a run: folds the coordinates where that is due."""
    refresh = config.hyper.subspace_refresh or REFRESH

    def after(step: int, params: Params, state: Any) -> tuple[Params, Any]:
        # The number of the step is known here, without waiting for the device.
        return zojax.fold(params, state) if step % refresh == 0 else (params, state)

    return unchanged if config.hyper.subspace_rank is None else after


def unchanged(step: int, params: Params, state: Any) -> tuple[Params, Any]:
    """Nothing is done after a step."""
    del step
    return params, state


def standing(config: FinetuneConfig, params: Params, state: Any) -> Params:
    """The parameters as they stand, to measure and to save; a copy if the run is in a subspace."""
    return params if config.hyper.subspace_rank is None else zojax.folded(params, state)

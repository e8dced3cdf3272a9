"""The settings that each optimizer takes, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zojax.lm.settings import AdapterName, OptimizerName

_FIRST_ORDER = {"schedule": "constant", "rounding": None, "weight_decay": 0.0}
_ONE_DIRECTION = {
    "eps": 1e-3,
    "direction": "gaussian",
    "evaluation": "streamed",
    "schedule": "constant",
    "rounding": None,  # by chance in 16 bits
    "subspace_rank": None,  # all of every matrix
    "subspace_refresh": None,
}
_SPSA = {
    **_ONE_DIRECTION,
    "num_queries": 1,
    "difference": "central",
    "slope_rule": "none",
    "weight_decay": 0.0,
}
# Slopes over their own size: the learning rate has one unit, whatever the loss is.
_IN_UNIT = {**_SPSA, "slope_rule": "rms"}

# The settings that each optimizer takes, with their defaults. The learning rates are those that
# benchmarks/nine_optimizers.py found best for opt-mini; where slopes are scaled, _rate.py has
# another, which fits models of other sizes.
DEFAULTS: Mapping[OptimizerName, Mapping[str, Any]] = {
    "zo_adamu": {
        "learning_rate": 3e-5,
        "anneal": "figure",
        "phases": (0.05, 0.8),
        "signed_momentum": True,
        **_IN_UNIT,
    },
    "mezo": {"learning_rate": 3e-5, **_IN_UNIT},
    "zo_sgd_sign": {"learning_rate": 1e-3, **_SPSA},
    "zo_sgd_momentum": {"learning_rate": 3e-6, "momentum": 0.9, **_IN_UNIT},
    "zo_sgd_conservative": {"learning_rate": 1e-4, **_IN_UNIT},
    "zo_sgd_blockwise": {
        "learning_rate": 1e-4,
        "in_turn": True,
        "weight_decay": 0.0,
        **_ONE_DIRECTION,
    },
    "zo_adam": {"learning_rate": 1e-4, "b1": 0.9, "b2": 0.999, **_SPSA},
    "zo_adamm": {"learning_rate": 1e-4, "b1": 0.9, "b2": 0.999, **_SPSA},
    "forward_gradient_sgd": {
        "learning_rate": 3e-5,
        **{k: v for k, v in _IN_UNIT.items() if k not in ("eps", "difference")},
    },
    "es": {
        "learning_rate": 1e-3,
        "population": 32,
        "direction_rank": 1,
        "slope_rule": "ranks",
        "batched": True,
        "weight_decay": 0.0,
        **{k: v for k, v in _ONE_DIRECTION.items() if k != "direction"},
        "eps": 3e-3,  # a reward is a step function, of which small perturbations see nothing
    },
    "adam": {"learning_rate": 3e-4, "b1": 0.9, "b2": 0.999, **_FIRST_ORDER},
    "sgd": {"learning_rate": 1e-2, "momentum": 0.0, **_FIRST_ORDER},
}

# An adapter has fewer parameters than the model, of other magnitudes, so it needs other defaults.
# These are the values that benchmarks/adapter_defaults.py found best for opt-mini, except the
# prefix's learning rate: the best one there was the largest tried, and a third of it, which is used
# here, was not significantly worse.
WITH_ADAPTER: Mapping[AdapterName, Mapping[str, Any]] = {
    "lora": {"learning_rate": 1e-2, "eps": 1e-2, "slope_rule": "none"},
    "prefix": {"learning_rate": 0.3, "eps": 1e-1, "slope_rule": "none"},
    "virtual_tokens": {"learning_rate": 1e-2, "eps": 1e-3, "slope_rule": "none"},
    "head": {"learning_rate": 3e-4, "eps": 1e-3, "slope_rule": "none"},
}
WITH_ADAPTER_OPTIMIZERS: tuple[OptimizerName, ...] = ("zo_adamu", "mezo")
# Steps in one subspace, as in SubZero+ (arXiv:2608.15665).
REFRESH = 50


def defaults_of(optimizer: OptimizerName, adapter: AdapterName) -> Mapping[str, Any]:
    """The settings that an optimizer takes with an adapter or without, and their defaults."""
    own = WITH_ADAPTER.get(adapter, {})
    if optimizer == "es":  # its rate has one unit, whatever is tuned; a perturbation has to be seen
        own = {name: value for name, value in own.items() if name == "eps"}
    elif optimizer not in WITH_ADAPTER_OPTIMIZERS:
        own = {}
    return {**DEFAULTS[optimizer], **own}

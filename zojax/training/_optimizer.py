"""From a name and settings to an optimizer: the table of defaults, and what each step costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import optax

import zojax
from zojax.training._config import FinetuneConfig, HyperParameters, OptimizerName

_DIRECTIONS = {
    "gaussian": zojax.Gaussian,
    "rademacher": zojax.Rademacher,
    "sphere": zojax.Sphere,
}

_ZEROTH_ORDER = {
    # Random signs are drawn several times faster than normal numbers, which shows on a CPU.
    "direction": "rademacher",
    "evaluation": "streamed",
    "schedule": "constant",
    "weight_decay": 0.0,
}

# The settings that each optimizer takes, with their defaults: what benchmarks/rotten_tomatoes.py
# found best for opt-mini.
DEFAULTS: Mapping[OptimizerName, Mapping[str, Any]] = {
    "zo_adamu": {
        "learning_rate": 3e-5,
        "eps": 1e-3,
        "anneal": "figure",
        "phases": (0.05, 0.8),
        "signed_momentum": True,
        "store_nu": False,
        **_ZEROTH_ORDER,
    },
    "mezo": {
        "learning_rate": 3e-5,
        "eps": 1e-3,
        "num_queries": 1,
        "difference": "central",
        **_ZEROTH_ORDER,
    },
    "adam": {"learning_rate": 3e-4, "schedule": "constant", "weight_decay": 0.0},
    "sgd": {"learning_rate": 1e-2, "schedule": "constant", "weight_decay": 0.0, "momentum": 0.0},
}


class Optimizer(NamedTuple):
    """A gradient transformation, and how the loop has to call it."""

    tx: optax.GradientTransformationExtraArgs
    zeroth_order: bool  # takes value_fn instead of gradients
    forward_passes: int  # of a step; a first-order step has a backward pass besides
    in_place: bool  # the update is called outside jit


def resolve(config: FinetuneConfig) -> FinetuneConfig:
    """Fill the optimizer's defaults in.

    Raises:
      ValueError: A setting is given that the optimizer does not take.
    """
    defaults = DEFAULTS[config.optimizer]
    given = {k: v for k, v in dataclasses.asdict(config.hyper).items() if v is not None}
    foreign = sorted(given.keys() - defaults.keys())
    if foreign:
        raise ValueError(
            f"finetune: {config.optimizer} must not be given {', '.join(foreign)}. It takes "
            f"{', '.join(defaults)}."
        )
    return dataclasses.replace(config, hyper=HyperParameters(**{**defaults, **given}))


def make_optimizer(config: FinetuneConfig) -> Optimizer:
    """Build the optimizer of a resolved ``config``."""
    settings = {k: v for k, v in dataclasses.asdict(config.hyper).items() if v is not None}
    learning_rate = _schedule(settings.pop("schedule"), settings.pop("learning_rate"), config.steps)
    settings["mask"] = _matrices
    if config.optimizer in ("adam", "sgd"):
        build = optax.adamw if config.optimizer == "adam" else _sgd
        return Optimizer(build(learning_rate, **settings), False, 1, False)
    settings["key"] = jax.random.key(config.seed)
    settings["direction"] = _DIRECTIONS[settings["direction"]]()
    in_place = settings["evaluation"] == "in_place"
    if config.optimizer == "zo_adamu":
        settings["phases"] = _phases(settings["phases"], config.steps)
        return Optimizer(zojax.zo_adamu(learning_rate, **settings), True, 2, in_place)
    queries = settings["num_queries"]
    forward_passes = queries + 1 if settings["difference"] == "forward" else 2 * queries
    return Optimizer(zojax.mezo(learning_rate, **settings), True, forward_passes, in_place)


def _sgd(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float, mask: Any, momentum: float
) -> optax.GradientTransformationExtraArgs:
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask), optax.sgd(learning_rate, momentum)
    )


def _phases(fractions: tuple[float, float], steps: int) -> tuple[int, int, int]:
    start, end = fractions
    if not 0 <= start < end <= 1:
        raise ValueError(
            f"finetune: phases must be fractions 0 <= start < end <= 1 of the steps, got "
            f"{fractions}."
        )
    return round(start * steps), round(end * steps), steps


def _schedule(name: str, learning_rate: float, steps: int) -> optax.ScalarOrSchedule:
    if name == "linear":
        return optax.linear_schedule(learning_rate, 0.0, steps)
    if name == "cosine":
        return optax.cosine_decay_schedule(learning_rate, steps)
    return learning_rate


def _matrices(params: Any) -> Any:
    """Mark what weight decay touches: neither biases nor normalisation scales."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

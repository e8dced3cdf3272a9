"""The learning rate of a run that is given none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from zojax.lm.settings import FinetuneConfig, OptimizerName
from zojax.quantized import any_quantized
from zojax.rates import LENGTH, usual_rate

# The length of a step, η·√(d/N), by optimizer. Those of zo_sgd_sign, zo_adam and zo_adamm are what
# benchmarks/nine_optimizers.py found best for opt-mini; with momentum steps are ten times as long.
# Half the difference of two ranks is less than 1, and the more so the less the losses differ by the
# direction.
LENGTHS: Mapping[OptimizerName, float] = {
    "zo_adamu": LENGTH,
    "mezo": LENGTH,
    "zo_sgd_sign": 2.0,
    "zo_sgd_momentum": 0.1 * LENGTH,
    "zo_sgd_conservative": LENGTH,
    "zo_adam": 0.2,
    "zo_adamm": 0.2,
    "forward_gradient_sgd": LENGTH,
    "es": 2 * LENGTH,
}
# Of these the default rate decreases: benchmarks/main_job.py compares it with a constant one.
_DECREASING: tuple[OptimizerName, ...] = ("zo_adamu", "mezo")
# A decreasing rate begins so many times as high as a constant one, for about the same mean.
_HIGHER = 2.0
# A change of a weight that is as good as the whole change of a scale, for opt-mini in int4: there
# rates of 0.02 and 0.03 did best.
_SCALE = 0.01
# These take no account of the size of slopes, whatever the slope rule.
_IN_UNIT = ("rms", "spread", "sign", "ranks", "z_scores")  # slope rules
_BY_THEMSELVES = ("zo_sgd_sign", "zo_adam", "zo_adamm")


def is_in_unit(optimizer: OptimizerName, slope_rule: str | None) -> bool:
    """Whether the learning rate is in the unit of :mod:`zojax.rates`: whatever the loss is."""
    return optimizer in LENGTHS and (optimizer in _BY_THEMSELVES or slope_rule in _IN_UNIT)


def default_rate(config: FinetuneConfig, params: Any) -> float:
    """The rate at which steps have the optimizer's usual length; a decreasing one begins higher.

    Args:
      config: A resolved configuration of an optimizer whose rate is in the unit.
      params: The parameters to tune; of arrays or shapes.
    """
    usual = usual_rate(params, queries_of(config)) / LENGTH
    if any_quantized(params) and config.hyper.subspace_rank is None:
        usual /= _SCALE  # which is tuned in shares of itself
    return float(f"{first_length(config.optimizer, config.hyper.schedule) * usual:.2g}")


def usual_schedule(optimizer: OptimizerName) -> Literal["constant", "linear"]:
    """The schedule of the default rate."""
    return "linear" if optimizer in _DECREASING else "constant"


def first_length(optimizer: OptimizerName, schedule: str | None) -> float:
    """The length of a run's first steps at the default rate."""
    return LENGTHS[optimizer] * (1.0 if schedule == "constant" else _HIGHER)


def queries_of(config: FinetuneConfig) -> int:
    """The directions of a step of a resolved configuration; a population has one for each pair."""
    hyper = config.hyper
    return (hyper.num_queries or 1) if hyper.population is None else hyper.population // 2


def with_rate(config: FinetuneConfig, params: Any) -> FinetuneConfig:
    """A resolved configuration with its learning rate, where none was given."""
    if config.hyper.learning_rate is not None:
        return config
    return at_rate(config, default_rate(config, params))


def at_rate(config: FinetuneConfig, rate: float | None) -> FinetuneConfig:
    """The configuration with another learning rate."""
    return dataclasses.replace(config, hyper=dataclasses.replace(config.hyper, learning_rate=rate))

"""The search for a run's learning rate: some rates, each for a few steps from the start."""

from __future__ import annotations

from typing import Any, NamedTuple

from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._defaults import defaults_of
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import optimizer_of
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._rate import at_rate, default_rate, is_in_unit, with_rate
from zojax.lm.training._trial import Trial
from zojax.lm.training._tuned import Tuned
from zojax.rates import RateSearch, search

STEPS = 32


class FoundRate(NamedTuple):
    """A learning rate that was found, and what it took."""

    search: RateSearch
    forward_passes: int

    def as_dict(self) -> dict[str, Any]:
        """What is written to learning_rate.json."""
        return {**self.search._asdict(), "forward_passes": self.forward_passes}


def is_auto(config: FinetuneConfig) -> bool:
    """Whether the run looks for its learning rate."""
    return config.hyper.learning_rate == "auto"


def first_rate(config: FinetuneConfig, params: Any) -> FinetuneConfig:
    """The configuration with the rate that the search begins with: the optimizer's default."""
    default = defaults_of(config.optimizer, config.tuned.adapter)["learning_rate"]
    in_unit = is_in_unit(config.optimizer, config.hyper.slope_rule)
    rate = default_rate(config, params) if in_unit else default
    return at_rate(config, rate) if is_auto(config) else with_rate(config, params)


def find_rate(config: FinetuneConfig, tuned: Tuned, trial: Trial, observer: Observer) -> FoundRate:
    """Search the learning rate of a run: see :func:`zojax.find_rate`.

    Args:
      config: The run's configuration, with the first rate to try.
      tuned: The initial model, of which only the structure is read.
      trial: Takes ``STEPS`` steps.
      observer: Called with every rate and its loss.

    Cost: 32 steps for each of about five rates.
    """

    def losses_at(rate: float) -> list[float]:
        return trial.take(optimizer_of(at_rate(config, rate), tuned))[0]

    observer.status(f"searching the learning rate, from {config.hyper.learning_rate:g}")
    found = search(losses_at, float(config.hyper.learning_rate or 0.0), tried=observer.rate_tried)
    passes = found.steps * passes_of_a_step(config, tuned.trainable(tuned.model.params)).cost
    observer.rate_found(found.rate, passes)
    return FoundRate(found, passes)

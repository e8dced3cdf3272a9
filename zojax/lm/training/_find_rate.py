"""The search for a run's learning rate: some rates, each for a few steps from the start."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, NamedTuple

import jax

from zojax.lm.processes import Spread
from zojax.lm.training._best import to_host
from zojax.lm.training._config import FinetuneConfig
from zojax.lm.training._data import Data
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import defaults_of, optimizer_of
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._program import StepProgram
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


def first_rate(config: FinetuneConfig) -> FinetuneConfig:
    """The configuration with the rate that the search begins with: the optimizer's default."""
    default = defaults_of(config.optimizer, config.tuned.adapter)["learning_rate"]
    return at_rate(config, default) if is_auto(config) else config


def at_rate(config: FinetuneConfig, rate: float) -> FinetuneConfig:
    """The configuration with another learning rate."""
    return dataclasses.replace(config, hyper=dataclasses.replace(config.hyper, learning_rate=rate))


def find_rate(
    config: FinetuneConfig,
    tuned: Tuned,
    data: Data,
    program: StepProgram,
    observer: Observer,
    spread: Spread,
) -> tuple[FoundRate, Tuned]:
    """Search the learning rate of a run: see :func:`zojax.find_rate`.

    Args:
      config: The run's configuration, with the first rate to try.
      tuned: The initial model; its parameters' buffers are donated.
      data: The batches: all rates see those of the run's first steps.
      program: The run's compiled step.
      observer: Called with every rate and its loss.
      spread: The run's devices.

    Returns:
      The rate, and the model with the same parameters in buffers that are valid.

    Cost: 32 steps for each of about five rates. In memory none: the trainable parameters wait on
      the host.
    """
    params = tuned.model.params
    start = to_host(tuned.trainable(params))
    batches = [*itertools.islice(program.batches(data, config.seed), STEPS)]
    observer.status(f"searching the learning rate, from {config.hyper.learning_rate:g}")

    def losses_at(rate: float) -> list[float]:
        nonlocal params
        params = spread.placed(tuned.full(start, params))
        init = optimizer_of(at_rate(config, rate), tuned).tx.init
        state = jax.jit(init, out_shardings=spread.state_layout(init, params))(params)
        program.prepare(params, state, data)
        losses: list[Any] = []
        for batch in batches:
            params, state, outcome = program.step(params, state, batch)
            losses.append(outcome.loss)
        return [float(value) for value in losses]

    found = search(losses_at, float(config.hyper.learning_rate or 0.0), tried=observer.rate_tried)
    params = spread.placed(tuned.full(start, params))
    passes = passes_of_a_step(config, tuned.trainable(params)).cost
    observer.rate_found(found.rate, found.steps * passes)
    return FoundRate(found, found.steps * passes), tuned.at(params)

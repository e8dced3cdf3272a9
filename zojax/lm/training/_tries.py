"""What a run tries before its first step: learning rates, and how long a step takes."""

from __future__ import annotations

import dataclasses
import time
from typing import NamedTuple

import jax

from zojax.lm.processes import Spread
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._data import Data
from zojax.lm.training._find_rate import STEPS, FoundRate, find_rate
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import optimizer_of
from zojax.lm.training._program import StepProgram
from zojax.lm.training._rate import at_rate
from zojax.lm.training._trial import Trial
from zojax.lm.training._tuned import Tuned

_TIMED = 8


class Tried(NamedTuple):
    """What was found.

    Attributes:
      config: The run's configuration, with the rate and the number of steps.
      tuned: The initial model, in buffers that are valid.
      rate: The rate that was found, or None if it was given.
      seconds: Seconds that all tries took, without compiling.
      same_program: Whether the step that was compiled is the run's.
    """

    config: FinetuneConfig
    tuned: Tuned
    rate: FoundRate | None
    seconds: float
    same_program: bool


def tries(
    config: FinetuneConfig,
    tuned: Tuned,
    data: Data,
    program: StepProgram,
    observer: Observer,
    spread: Spread,
    *,
    auto: bool,
) -> Tried:
    """Find the learning rate and the number of steps of a run, where they are not given.

    Args:
      config: The run's configuration, with a number for the learning rate.
      tuned: The initial model; its parameters' buffers are donated if anything is tried.
      data: The batches.
      program: The run's compiled step.
      observer: Called with what is tried.
      spread: The run's devices.
      auto: Whether to look for the learning rate.
    """
    timed = config.minutes is not None and config.steps is None
    if not auto and not timed:
        return Tried(config, tuned, None, 0.0, same_program=True)
    begin, compiled = time.perf_counter(), program.compiled.seconds
    trial = Trial(tuned, data, program, spread, config.seed, STEPS if auto else _TIMED)
    found, planned = None, config.num_planned
    if auto:
        found = find_rate(config, tuned, trial, observer)
        config = at_rate(config, found.search.rate)
    if timed and config.minutes is not None:
        _, seconds = trial.take(optimizer_of(config, tuned))
        config = dataclasses.replace(config, steps=max(1, int(60 * config.minutes / seconds)))
        observer.status(
            f"{config.num_steps} steps of {seconds:.3g} s fit into {config.minutes:g} minutes"
        )
    tuned = trial.undone()
    seconds = time.perf_counter() - begin - (program.compiled.seconds - compiled)
    same = config.num_planned == planned or not _depends_on_plan(config)
    return Tried(config, tuned, found, seconds, same_program=same)


def require_one_clock(config: FinetuneConfig) -> None:
    """Refuse minutes where several processes would count different steps.

    Raises:
      ValueError: There are several processes.
    """
    if config.minutes is not None and jax.process_count() > 1:
        raise ValueError(
            f"finetune: minutes must be for one process, got {config.minutes:g} and "
            f"{jax.process_count()} processes, whose clocks differ. Give steps or passes."
        )


def _depends_on_plan(config: FinetuneConfig) -> bool:
    return config.hyper.schedule != "constant" or config.hyper.phases is not None

"""Everything of a run that is there before its first step: model, data, optimizer, program."""

from __future__ import annotations

from typing import NamedTuple

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._begin import Begun, begin
from zojax.lm.training._data import Data, Prepared, load_data
from zojax.lm.training._find_rate import FoundRate, first_rate, is_auto
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import Optimizer, optimizer_of
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._program import StepProgram, step_program
from zojax.lm.training._start_folder import asked_start
from zojax.lm.training._tries import tries
from zojax.lm.training._tuned import Tuned, load_to_tune


class SetUp(NamedTuple):
    """What a run works with.

    Attributes:
      config: The run's configuration, with the start, the rate and the steps that were found.
      begun: Where tuning starts from.
      tuned: The initial model; the loop donates its parameters' buffers.
      data: The batches and the loss.
      optimizer: The run's optimizer.
      program: The compiled step.
      rate: The learning rate that was searched, or None.
      search_seconds: Seconds that searching and timing took, without compiling.
    """

    config: FinetuneConfig
    begun: Begun
    tuned: Tuned
    data: Data
    optimizer: Optimizer
    program: StepProgram
    rate: FoundRate | None
    search_seconds: float


def set_up(
    config: FinetuneConfig,
    prepared: Prepared,
    observer: Observer,
    spread: Spread,
    *,
    resume: bool,
) -> SetUp:
    """Load the model, find its start and its learning rate, and make the step.

    Args:
      config: The run's configuration, resolved.
      prepared: The data, read and checked.
      observer: Called with what goes on.
      spread: The run's devices.
      resume: Whether the run is resumed.

    Raises:
      ValueError: A setting does not fit the model, the task or the devices.
    """
    asked = asked_start(config, prepared.tokens)
    observer.status(f"loading {config.model}")
    loaded = load_to_tune(config, spread)
    begun = begin(config, asked, loaded, prepared, observer, spread, resume=resume)
    data = load_data(prepared, begun.tuned.model)
    auto, config = is_auto(begun.config), first_rate(begun.config, _trainable(begun.tuned))
    optimizer = optimizer_of(config, begun.tuned)
    spread.require(
        batch_size=min(config.batch_size, len(data.train)),
        losses=_losses(config, begun.tuned) if optimizer.zeroth_order else 0,
        in_jax=not optimizer.in_place and config.objective != "f1" and prepared.scorer is None,
    )
    program = step_program(config, begun.tuned, data, optimizer, observer, spread)
    tried = tries(config, begun.tuned, data, program, observer, spread, auto=auto)
    config, tuned = tried.config, tried.tuned
    optimizer = optimizer_of(config, tuned)
    if not tried.same_program:
        program = step_program(config, tuned, data, optimizer, observer, spread)
    return SetUp(config, begun, tuned, data, optimizer, program, tried.rate, tried.seconds)


def _losses(config: FinetuneConfig, tuned: Tuned) -> int:
    """The losses that a step evaluates."""
    return passes_of_a_step(config, _trainable(tuned)).forward


def _trainable(tuned: Tuned) -> Params:
    return tuned.trainable(tuned.model.params)

"""The compiled step of a run, and the batches that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.rewards import RewardSet
from zojax.lm.settings import FinetuneConfig
from zojax.lm.tasks import Batch, training_batches
from zojax.lm.training._data import Data
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import Optimizer
from zojax.lm.training._step import CompiledByShape, Loss, Step, in_parts, make_step
from zojax.lm.training._tuned import Tuned


class StepProgram(NamedTuple):
    """A step, compiled for every shape of batch.

    A learning rate is part of the optimizer's state, so that the programs are those of all rates.

    Attributes:
      step: The step itself.
      compiled: What of it is compiled ahead of time.
      batch_size: Examples of a batch.
      in_place: The parameters are perturbed outside of jit; only the loss is compiled.
    """

    step: Step
    compiled: CompiledByShape
    batch_size: int
    in_place: bool

    def prepare(self, params: Params, state: Any, data: Data) -> None:
        """Compile the programs for all shapes of the training batches."""
        head = (params,) if self.in_place else (params, state)
        shapes = [data.train.abstract_batch(n, self.batch_size, data.view) for n in data.lengths]
        self.compiled.prepare(*((*head, batch) for batch in shapes))

    def batches(self, data: Data, seed: int, start: int = 0) -> Iterator[Batch]:
        """An endless iterator of training batches, beginning with that of step ``start + 1``."""
        return batches_of(data, self.batch_size, seed, start=start)


def batches_of(data: Data, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
    """An endless iterator of training batches, beginning with that of step ``start + 1``."""
    batches = training_batches(data.train, data.lengths, batch_size, seed, data.view, start=start)
    return _numbered(batches, start) if isinstance(data.train, RewardSet) else batches


def batch_loss(config: FinetuneConfig, data: Data, batch_size: int) -> Loss:
    """The loss of a batch, which is read in parts where the configuration says so.

    Raises:
      ValueError: A batch cannot be read in parts of ``micro_batch`` examples.
    """
    if config.micro_batch is None:
        return data.loss
    return in_parts(data.loss, _parts(config.micro_batch, batch_size))


def _numbered(batches: Iterator[Any], start: int) -> Iterator[Any]:
    """The same batches of prompts with the numbers of their steps, by which texts are drawn."""
    return (
        batch._replace(step=np.full((), step, np.int32))
        for step, batch in enumerate(batches, start=start + 1)
    )


def step_program(
    config: FinetuneConfig,
    tuned: Tuned,
    data: Data,
    optimizer: Optimizer,
    observer: Observer,
    spread: Spread,
) -> StepProgram:
    """Make the step of a run; it donates parameters and state.

    Raises:
      ValueError: A batch cannot be read in parts of ``micro_batch`` examples.
    """
    batch_size = min(config.batch_size, len(data.train))
    loss = batch_loss(config, data, batch_size)
    if optimizer.in_place:
        forward = CompiledByShape(
            loss, "the forward pass", observer.status, compiled=observer.compiled
        )
        return StepProgram(make_step(optimizer, forward, config.slopes), forward, batch_size, True)
    compiled = CompiledByShape(
        spread.step(make_step(optimizer, loss, config.slopes, tuned.branch)),
        f"{config.optimizer}'s step",
        observer.status,
        donate_argnums=(0, 1),
        place=spread.training_batch,
        out_shardings=(
            spread.layout(tuned.model.params),
            spread.state_layout(optimizer.tx.init, tuned.model.params),
            spread.everywhere,
        ),
        compiled=observer.compiled,
    )
    return StepProgram(compiled, compiled, batch_size, False)


def _parts(micro_batch: int, batch_size: int) -> int:
    """How many parts of a batch are read one after the other.

    Raises:
      ValueError: A batch cannot be cut into parts of that size.
    """
    if batch_size % micro_batch:
        raise ValueError(
            f"finetune: micro_batch must divide the {batch_size} examples of a batch, got "
            f"{micro_batch}."
        )
    return batch_size // micro_batch

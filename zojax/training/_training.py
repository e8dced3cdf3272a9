"""Training within a run: steps, records, and the best parameters so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from zojax.models._language_model import Params
from zojax.parallel._spread import Spread
from zojax.tasks import training_batches
from zojax.training._config import FinetuneConfig
from zojax.training._data import Data
from zojax.training._evaluation import Scores, evaluate
from zojax.training._interrupt import interrupt_flag
from zojax.training._loop import Tick, train
from zojax.training._observer import Observer
from zojax.training._optimizer import Optimizer
from zojax.training._run_folder import RunFolder
from zojax.training._step import CompiledByShape, make_step
from zojax.training._tuned import Tuned


@dataclass
class Best:
    """The parameters that did best on dev so far, in host memory; those that move."""

    step: int
    dev: Scores
    params: Params

    def offer(self, step: int, dev: Scores, params: Params) -> None:
        """Keep ``params`` if they are better: more accurate, or as accurate with less loss."""
        if (dev.accuracy, -dev.loss) > (self.dev.accuracy, -self.dev.loss):
            self.step, self.dev, self.params = step, dev, to_host(params)


class Training:
    """The loop of one run, with its records.

    Args:
      config: What to do, resolved.
      tuned: Where to start; the loop takes its parameters' memory.
      data: Batches and the loss.
      optimizer: Makes the steps.
      totals: Measures a batch.
      observer: Hears every tick.
      spread: The devices.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        tuned: Tuned,
        data: Data,
        optimizer: Optimizer,
        totals: CompiledByShape,
        observer: Observer,
        spread: Spread,
    ) -> None:
        self._config, self._tuned, self._data = config, tuned, data
        self._optimizer, self._totals, self._observer = optimizer, totals, observer
        self._spread = spread
        # In place, the step perturbs outside jit: the loss alone is compiled.
        if optimizer.in_place:
            self._compiled = CompiledByShape(
                data.task.loss, "the forward pass", observer.status, place=spread.training_batch
            )
            self._step = make_step(optimizer, self._compiled)
        else:
            step = spread.step(make_step(optimizer, data.task.loss))
            self._compiled = CompiledByShape(
                step,
                f"{config.optimizer}'s step",
                observer.status,
                donate_argnums=(0, 1),
                place=spread.training_batch,
                out_shardings=spread.everywhere,
            )
            self._step = self._compiled

    @property
    def compile_seconds(self) -> float:
        """How long compiling the step has taken."""
        return self._compiled.seconds

    def run(self, run: RunFolder, best: Best) -> tuple[Tick, bool]:
        """Train to the end or to Ctrl-C; return the last tick, and whether it was Ctrl-C."""
        config, data, optimizer = self._config, self._data, self._optimizer
        batch_size = min(config.batch_size, len(data.train))
        params = self._tuned.model.params
        state = jax.jit(optimizer.tx.init, out_shardings=self._spread.everywhere)(params)
        head = (params,) if optimizer.in_place else (params, state)
        shapes = [data.train.abstract_batch(length, batch_size) for length in data.lengths]
        self._compiled.prepare(*((*head, batch) for batch in shapes))
        self._observer.started(config.steps)
        with interrupt_flag() as interrupted:
            ticks = train(
                self._step,
                params,
                state,
                training_batches(data.train, data.lengths, batch_size, config.seed),
                steps=config.steps,
                forward_passes=optimizer.forward_passes,
                log_every=config.log_every,
                eval_every=config.eval_every,
                evaluate_dev=lambda params: evaluate(self._totals, params, data.dev),
                stop=self._spread.agreed(interrupted),
            )
            tick = next(ticks)
            self._record(tick, run, best)
            for tick in ticks:
                self._record(tick, run, best)
        return tick, tick.step < config.steps

    def _record(self, tick: Tick, run: RunFolder, best: Best) -> None:
        metrics: dict[str, Any] = {
            "step": tick.step,
            "loss": tick.loss,
            "forward_passes": tick.forward_passes,
            "seconds": round(tick.seconds, 3),
        }
        if tick.dev is not None:
            metrics |= {"dev_accuracy": tick.dev.accuracy, "dev_loss": tick.dev.loss}
            best.offer(tick.step, tick.dev, self._tuned.moving(tick.params))
        run.log(**metrics)
        self._observer.ticked(tick)


def to_host(params: Params) -> Params:
    """Copy ``params`` into host memory."""
    # A copy: a view, as NumPy takes on CPU, would keep the next step from taking the memory.
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), params)

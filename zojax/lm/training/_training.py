"""Training within a run: the steps, their records, and the checkpoints to resume from."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.tasks import training_batches
from zojax.lm.training._best import Best
from zojax.lm.training._config import FinetuneConfig
from zojax.lm.training._data import Data
from zojax.lm.training._evaluation import CompiledTotals, Scores, dev_metrics, evaluate
from zojax.lm.training._interrupt import interrupt_flag
from zojax.lm.training._loop import Tick, train
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import Optimizer
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._reader import Reader
from zojax.lm.training._recovery import Recovery, State
from zojax.lm.training._run_folder import RunFolder
from zojax.lm.training._step import CompiledByShape, in_parts, make_step
from zojax.lm.training._tuned import Tuned
from zojax.lm.training._window import is_due, loss_metrics


class Ending(NamedTuple):
    """How training ended."""

    last: Tick
    signal: int  # number of the signal that ended it early, or 0
    skipped: int  # steps whose outcome was not finite


class Training:
    """The loop of one run, with its records.

    Args:
      config: The run's resolved configuration.
      tuned: The initial model; the loop donates its parameters' buffers.
      data: The batches and the loss.
      optimizer: The run's optimizer.
      totals: Measures batches.
      observer: Called with every tick.
      spread: The run's devices.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        tuned: Tuned,
        data: Data,
        optimizer: Optimizer,
        totals: CompiledTotals,
        observer: Observer,
        spread: Spread,
    ) -> None:
        self._config, self._tuned, self._data = config, tuned, data
        self._optimizer, self._totals, self._observer = optimizer, totals, observer
        self._spread = spread
        self._batch_size = min(config.batch_size, len(data.train))
        self._passes = passes_of_a_step(config, tuned.trainable(tuned.model.params)).cost
        loss = data.loss
        if config.micro_batch is not None:
            loss = in_parts(loss, _parts(config.micro_batch, self._batch_size))
        # In place, the optimizer perturbs the parameters outside jit; only the loss is compiled.
        if optimizer.in_place:
            self._compiled = CompiledByShape(loss, "the forward pass", observer.status)
            self._step = make_step(optimizer, self._compiled, config.slopes)
        else:
            step = spread.step(make_step(optimizer, loss, config.slopes))
            self._compiled = CompiledByShape(
                step,
                f"{config.optimizer}'s step",
                observer.status,
                donate_argnums=(0, 1),
                place=spread.training_batch,
                out_shardings=(
                    spread.layout(tuned.model.params),
                    spread.state_layout(optimizer.tx.init, tuned.model.params),
                    spread.everywhere,
                ),
            )
            self._step = self._compiled

    @property
    def compile_seconds(self) -> float:
        """Time that compiling the step has taken, in seconds."""
        return self._compiled.seconds

    def measure(self, params: Params) -> Scores:
        """Measure parameters on dev."""
        return evaluate(self._totals, params, self._data.dev)

    def run(self, run: RunFolder, recovery: Recovery, best: Best) -> Ending:
        """Train from the run's saved progress until the last step, Ctrl-C or SIGTERM.

        Args:
          run: Where metrics are written.
          recovery: Restores the run's progress, and saves it.
          best: The base model; updated to the parameters with the best dev scores.
        """
        config, data, optimizer = self._config, self._data, self._optimizer
        batch_size = self._batch_size
        start = recovery.begin(best, self.measure)
        head = (start.params,) if optimizer.in_place else (start.params, start.optimizer)
        shapes = [data.train.abstract_batch(n, batch_size, data.view) for n in data.lengths]
        self._compiled.prepare(*((*head, batch) for batch in shapes))
        self._observer.started(config.steps)
        reader = Reader(recovery.log, recovery.losses, config.non_finite, start.step, start.skipped)
        signal = 0

        def stop() -> bool:
            nonlocal signal
            signal = agreed_signal()
            return signal != 0

        with interrupt_flag() as interrupted:
            agreed_signal = self._spread.agreed(interrupted)
            ticks = train(
                self._step,
                start.params,
                start.optimizer,
                training_batches(
                    data.train,
                    data.lengths,
                    batch_size,
                    config.seed,
                    data.view,
                    start=start.step,
                ),
                start=start.step,
                losses=start.losses,
                steps=config.steps,
                seconds=start.seconds,
                forward_passes=self._passes,
                due=partial(is_due, config),
                read=reader,
                stop=stop,
            )
            del start  # a reference would keep buffers alive that the loop donates
            tick = next(ticks)
            self._ticked(tick, run, recovery, best, reader)
            while not tick.last and not self._is_stuck(tick.step, best):
                tick = next(ticks)
                self._ticked(tick, run, recovery, best, reader)
            return Ending(tick, signal if tick.step < config.steps else 0, reader.skipped)

    def _is_stuck(self, step: int, best: Best) -> bool:
        """Whether the run ends here, for dev has not improved for so long."""
        patience, every = self._config.patience, self._config.eval_every
        if patience is None or step % every or (step - best.step) // every < patience:
            return False
        self._observer.status(
            f"ending at step {step}: no better score on dev since step {best.step}"
        )
        return True

    def _evaluates(self, step: int) -> bool:
        return step % self._config.eval_every == 0 or step == self._config.steps

    def _ticked(
        self, tick: Tick, run: RunFolder, recovery: Recovery, best: Best, reader: Reader
    ) -> None:
        where = State(tick.step, tick.params, tick.state, best, reader.skipped, tick.seconds)
        regular = self._evaluates(tick.step)
        if tick.last and not regular:  # stopped by a signal: save before the slow evaluation
            recovery.save(where)
        if tick.last or regular:
            tick = tick._replace(dev=self.measure(tick.params))
        metrics: dict[str, Any] = {
            "step": tick.step,
            **loss_metrics(tick.loss, tick.left_out),
            "forward_passes": tick.forward_passes,
            "seconds": round(tick.seconds, 3),
            **({"skipped": reader.skipped} if reader.skipped else {}),
        }
        if tick.dev is not None:
            metrics |= dev_metrics(tick.dev)
        run.log(**metrics)
        if is_due(self._config, tick.step):
            recovery.losses.keep(range(0))
        if regular and tick.dev is not None:
            # The evaluation at a signal is no candidate for the best step, because an uninterrupted
            # run does not evaluate there.
            best.offer(tick.step, tick.dev, self._tuned.trainable(tick.params))
            if tick.step < self._config.steps:
                recovery.save(where)
        self._observer.ticked(tick)


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

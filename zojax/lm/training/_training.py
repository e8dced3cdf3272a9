"""Training within a run: the steps, their records, and the checkpoints to resume from."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.rewards import RewardTask
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._advice import Advice
from zojax.lm.training._best import Best
from zojax.lm.training._crew import crew_step
from zojax.lm.training._data import Data
from zojax.lm.training._evaluation import AnyTotals, Scores, dev_metrics, evaluate
from zojax.lm.training._folding import folding, standing
from zojax.lm.training._interrupt import interrupt_flag
from zojax.lm.training._loop import Tick, train
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import Optimizer
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._program import StepProgram
from zojax.lm.training._reader import Reader
from zojax.lm.training._recovery import Recovery, State
from zojax.lm.training._reward_log import RewardLog, reward_metrics
from zojax.lm.training._reward_totals import RewardTotals
from zojax.lm.training._run_folder import RunFolder
from zojax.lm.training._step import Step
from zojax.lm.training._tuned import Tuned
from zojax.lm.training._window import is_due, loss_metrics, window


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
      program: The compiled step.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        tuned: Tuned,
        data: Data,
        optimizer: Optimizer,
        totals: AnyTotals,
        observer: Observer,
        spread: Spread,
        program: StepProgram,
    ) -> None:
        self._config, self._tuned, self._data = config, tuned, data
        self._optimizer, self._totals, self._observer = optimizer, totals, observer
        self._program, self._spread = program, spread
        self._advice: Advice
        self._failure_said = False
        self._passes = passes_of_a_step(config, tuned.trainable(tuned.model.params)).cost

    @property
    def compile_seconds(self) -> float:
        """Time that compiling the step has taken, in seconds."""
        return self._program.compiled.seconds

    def measure(self, params: Params) -> Scores:
        """Measure parameters on dev."""
        return evaluate(self._totals, params, self._data.dev)

    def sample(self, run: RunFolder, step: int) -> None:
        """Write what the model wrote when it was measured last, and say what a reward failed at."""
        if isinstance(self._totals, RewardTotals):
            run.write_samples(step, self._totals.samples)
        self._say_failure()

    def run(self, run: RunFolder, recovery: Recovery, best: Best) -> Ending:
        """Train from the run's saved progress until the last step, Ctrl-C or SIGTERM.

        Args:
          run: Where metrics are written.
          recovery: Restores the run's progress, and saves it.
          best: The base model; updated to the parameters with the best dev scores.
        """
        config = self._config
        # Measured by every process, where only one of them reads metrics.jsonl.
        self._advice = Advice(config, best.dev.loss)
        start = recovery.begin(best, self.measure)
        self._observer.started(config.num_steps)
        reader = Reader(
            recovery.log,
            recovery.losses,
            # A member of which nothing can be scored has no loss, and drops its query. So does one
            # whose worker is late; other losses that are not finite a crew's step refuses.
            config.non_finite if recovery.rewards is None and not config.workers else "skip",
            start.step,
            start.skipped,
            taken=self._taken(recovery.rewards),
        )
        signal = 0

        def stop() -> bool:
            nonlocal signal
            signal = agreed_signal()
            return signal != 0

        # Signals are caught after the workers have started, for Ray catches them too.
        with self._steps(run, start) as (step, batches), interrupt_flag() as interrupted:
            agreed_signal = self._spread.agreed(interrupted)
            ticks = train(
                step,
                start.params,
                start.optimizer,
                batches,
                start=start.step,
                losses=start.losses,
                steps=config.num_steps,
                seconds=start.seconds,
                forward_passes=self._passes,
                due=partial(is_due, config),
                read=reader,
                stop=stop,
                after=folding(config),
            )
            del start  # a reference would keep buffers alive that the loop donates
            tick = self._ticked(next(ticks), run, recovery, best, reader)
            while not (tick.last or self._is_stuck(tick.step, best) or self._is_late(tick)):
                tick = self._ticked(next(ticks), run, recovery, best, reader)
            return Ending(tick, signal if tick.step < config.num_steps else 0, reader.skipped)

    @contextlib.contextmanager
    def _steps(self, run: RunFolder, start: State) -> Generator[tuple[Step, Iterator[Any]]]:
        """What takes the steps after ``start``, and their batches: this process, or workers."""
        config, program, data = self._config, self._program, self._data
        if config.workers is None:
            program.prepare(start.params, start.optimizer, data)
            yield program.step, program.batches(data, config.seed, start=start.step)
            return
        with crew_step(
            config, self._optimizer, data, run.folder, start.step, self._observer
        ) as crew:
            yield crew, itertools.repeat(None)

    def _taken(self, rewards: RewardLog | None) -> Callable[[int], None] | None:
        """What is done with every step of a run that raises a reward."""
        task = self._data.task
        if rewards is None or not isinstance(task, RewardTask):
            return None
        task.steps.clear()  # of steps that were tried

        def taken(step: int) -> None:
            rewards.add(step, task.steps.pop(step).figures())
            self._say_failure()

        return taken

    def _say_failure(self) -> None:
        task = self._data.task
        message = task.scorer.first_failure if isinstance(task, RewardTask) else None
        if message is not None and not self._failure_said:
            self._failure_said = True
            self._observer.reward_failed(message)

    def _is_stuck(self, step: int, best: Best) -> bool:
        """Whether the run ends here, for dev has not improved for so long."""
        patience, every = self._config.patience, self._config.eval_every
        if patience is None or step % every or (step - best.step) // every < patience:
            return False
        self._observer.status(
            f"ending at step {step}: no better score on dev since step {best.step}"
        )
        return True

    def _is_late(self, tick: Tick) -> bool:
        """Whether the run ends here, for its minutes are over: its steps took longer than timed."""
        minutes = self._config.minutes
        if minutes is None or tick.dev is None or tick.seconds < 60 * minutes:
            return False
        self._observer.status(f"ending at step {tick.step}: {minutes:g} minutes are over")
        return True

    def _evaluates(self, step: int) -> bool:
        return step % self._config.eval_every == 0 or step == self._config.num_steps

    def _ticked(
        self, tick: Tick, run: RunFolder, recovery: Recovery, best: Best, reader: Reader
    ) -> Tick:
        """Measure, write and show a tick; it gets the scores on dev if they are due."""
        where = State(tick.step, tick.params, tick.state, best, reader.skipped, tick.seconds)
        regular = self._evaluates(tick.step)
        if tick.last and not regular:  # stopped by a signal: save before the slow evaluation
            recovery.save(where)
        now = tick.params
        if tick.last or regular:
            now = standing(self._config, tick.params, tick.state)
            tick = tick._replace(dev=self.measure(now))
            self.sample(run, tick.step)
        if recovery.rewards is not None:
            tick = tick._replace(rewards=recovery.rewards.of(window(self._config, tick.step)))
        metrics: dict[str, Any] = {
            "step": tick.step,
            **loss_metrics(tick.loss, tick.left_out),
            **({} if tick.rewards is None else reward_metrics(tick.rewards)),
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
            best.offer(tick.step, tick.dev, self._tuned.moving(now))
            if tick.step < self._config.num_steps:
                recovery.save(where)
            if (advice := self._advice.after(tick.step, tick.dev, best)) is not None:
                self._observer.advice(advice)
        self._observer.ticked(tick)
        return tick

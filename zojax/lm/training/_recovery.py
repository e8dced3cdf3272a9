"""The progress of a run on the disk: saved while it trains, restored when it is resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._best import Best
from zojax.lm.training._checkpoints import Checkpoints
from zojax.lm.training._evaluation import Scores, dev_metrics
from zojax.lm.training._folding import standing
from zojax.lm.training._identity import identity, same_run
from zojax.lm.training._optimizer import Optimizer
from zojax.lm.training._passes import passes_of_a_step
from zojax.lm.training._reward_log import RewardLog, reward_metrics
from zojax.lm.training._run_folder import CHECKPOINTS, LOG, LOSSES, REWARDS, RunFolder
from zojax.lm.training._tuned import Tuned
from zojax.lm.training._window import Losses, is_due, loss_metrics, mean_loss, window
from zojax.trajectory import Header, Log, LogWriter, Replayer, read_log


@dataclass
class State:
    """The progress of a run.

    Attributes:
      step: Steps taken.
      params: All parameters of the model, frozen and trainable.
      optimizer: The optimizer's state.
      best: The parameters with the best dev scores so far.
      skipped: Steps whose outcome was not finite.
      seconds: Time spent in steps.
      losses: Losses of the steps since the last line of metrics.jsonl; NaN for one that is lost.
    """

    step: int
    params: Params
    optimizer: Any
    best: Best
    skipped: int = 0
    seconds: float = 0.0
    losses: Sequence[float] = ()


class Recovery:
    """Saves and restores a run's progress, by checkpoints and the log of the steps after them.

    Args:
      config: The run's resolved configuration.
      tuned: The base model, with a newly initialized adapter if there is one.
      optimizer: The run's optimizer.
      header: The header of the run's log.
      run: The run's files.
      spread: The run's devices.

    Attributes:
      log: Where the records of the steps are written; None for first-order optimizers, and in
        processes that do not write.
      losses: Where the losses of the steps are written.
      rewards: Where their rewards are written; None for a run that raises none.
    """

    log: LogWriter | None = None
    rewards: RewardLog | None = None

    def __init__(
        self,
        config: FinetuneConfig,
        tuned: Tuned,
        optimizer: Optimizer,
        header: Header,
        run: RunFolder,
        spread: Spread,
    ) -> None:
        self._config, self._tuned, self._optimizer = config, tuned, optimizer
        self._header, self._run, self._spread = header, run, spread
        self._passes = passes_of_a_step(config, tuned.trainable(tuned.model.params)).cost
        self._checkpoints = Checkpoints(run.folder / CHECKPOINTS, writes=run.writes)
        self.losses = Losses(run.folder / LOSSES, writes=run.writes)
        if config.scoring.reward is not None:
            self.rewards = RewardLog(run.folder / REWARDS, writes=run.writes)

    def save(self, state: State) -> None:
        """Begin to write a checkpoint, if the run keeps any, after the log is on the disk.

        Raises:
          OSError: The log or the previous checkpoint could not be written.
        """
        if self.log is not None:
            self.log.sync()
        if self._config.keep == 0 or not self._run.writes:
            return
        self.wait()  # so that steps() includes the previous checkpoint
        best = state.best
        newest = self._checkpoints.steps()[::-1]
        self._checkpoints.save(
            state.step,
            (self._tuned.moving(state.params), state.optimizer),
            {
                "run": identity(self._header),
                "best_step": best.step,
                "best_dev": list(best.dev),
                "skipped": state.skipped,
            },
            keep=[*newest[: self._config.keep - 1], best.step],
        )

    def wait(self) -> None:
        """Wait until the last checkpoint is completely written."""
        self._checkpoints.wait()

    def close(self) -> None:
        """Finish the checkpoint and the log; nothing can be written afterwards."""
        self._checkpoints.close()
        if self.log is not None:
            self.log.close()

    def begin(self, best: Best, measure_dev: Callable[[Params], Scores]) -> State:
        """Restore the progress from the folder, or begin at the base model; open the log.

        At least the last step of a run is taken again, even if the log contains it.

        Args:
          best: The base model and its scores; updated to the best parameters so far.
          measure_dev: Measures parameters on dev; called for steps that are replayed from the log.

        Returns:
          The progress from which training continues.

        Raises:
          ValueError: The log or a checkpoint is damaged, of another run or another base model.
        """
        params = self._tuned.model.params
        init = self._optimizer.tx.init
        init = jax.jit(init, out_shardings=self._spread.state_layout(init, params))
        state = State(0, params, init(params), best)
        path = self._run.folder / LOG
        saved = self._checkpoints.steps()
        logged = bool(self._optimizer.fields)
        log = self._read_log() if logged and (saved or path.exists()) else None
        if saved:
            self._from_checkpoint(state, saved[-1], log)
        if log is not None:
            self._from_log(state, log, measure_dev)
        # A signal adds a line at the step where it stopped the run. An uninterrupted run would not
        # have that line, so it is removed unless the line is due.
        self._run.keep_metrics(lambda step: step <= state.step and is_due(self._config, step))
        seconds = [line["seconds"] for line in self._run.read_metrics() if "seconds" in line]
        state.seconds = max(seconds, default=0.0)
        since = window(self._config, state.step + 1)[:-1]
        state.losses = self.losses.read(since)
        self.losses.keep(since)
        if self.rewards is not None:
            self.rewards.keep(until=state.step)
        if log is not None and self._run.writes:
            self.log = LogWriter.reopen(path, log)
        elif logged and self._run.writes:
            self.log = LogWriter(path, self._header)
        return state

    def _read_log(self) -> Log:
        path = self._run.folder / LOG
        log = read_log(path, cut=True)
        same_run(log.header, self._header, "finetune: resume")
        most = self._config.num_steps - 1
        return log if len(log.scalars) <= most else read_log(path, until=most)

    def _from_checkpoint(self, state: State, step: int, log: Log | None) -> None:
        if log is not None and step > len(log.scalars):
            raise ValueError(
                f"finetune: resume: {self._run.folder / LOG} is truncated: it must reach the last "
                f"checkpoint, that of step {step}, and its last good step is {len(log.scalars)}. "
                "Copy the log again, or remove the checkpoints after that step."
            )
        like = (self._tuned.moving(state.params), state.optimizer)
        (trainable, state.optimizer), note = self._checkpoints.restore(step, like)
        if note["run"] != identity(self._header):
            raise ValueError(
                f"finetune: resume: the checkpoint of step {step} must be of the run in "
                "config.json, from the same base model, got one of another run."
            )
        state.step, state.skipped = step, note["skipped"]
        best, dev = note["best_step"], Scores(*note["best_dev"])
        if best:
            found = (trainable, state.optimizer)
            trained, optimizer = found if best == step else self._checkpoints.restore(best, like)[0]
            then = standing(self._config, self._tuned.full(trained, state.params), optimizer)
            state.best.become(best, dev, self._tuned.moving(then))
        trainable, state.optimizer = self._spread.like((trainable, state.optimizer), like)
        state.params = self._tuned.full(trainable, state.params)

    def _from_log(self, state: State, log: Log, measure_dev: Callable[[Params], Scores]) -> None:
        """Replay the logged steps after ``state``, and evaluate on dev wherever the run does."""
        replayer = Replayer(self._optimizer.tx, compiled=not self._optimizer.in_place)
        known = {line["step"]: line for line in self._run.read_metrics()}
        every, last = self._config.eval_every, len(log.scalars)
        due = range((state.step // every + 1) * every, last + 1, every)
        for step in sorted({*due, last}):
            rows = log.scalars[state.step : step]
            state.params, state.optimizer = replayer.take(state.params, state.optimizer, rows)
            state.step = step
            state.skipped = _skipped(log, step)
            if step not in due:
                continue
            now = standing(self._config, state.params, state.optimizer)
            dev = measure_dev(now)
            if "dev_loss" not in known.get(step, {}):
                self._run.log(**self._line(step, state.skipped), **dev_metrics(dev))
            state.best.offer(step, dev, self._tuned.moving(now))
            self.save(state)
        # Lines that were due after the last one written are missing if the run died before it
        # could write them.
        missing = range(max(known, default=0) + 1, last + 1)
        for step in [step for step in missing if is_due(self._config, step) and step not in due]:
            self._run.log(**self._line(step, _skipped(log, step)))

    def _line(self, step: int, skipped: int) -> dict[str, float]:
        """Make the line of a step that was replayed; it has no ``seconds``, which are not known."""
        steps = window(self._config, step)
        rewards = None if self.rewards is None else self.rewards.of(steps)
        return {
            "step": step,
            **loss_metrics(*mean_loss(self.losses.read(steps))),
            **({} if rewards is None else reward_metrics(rewards)),
            "forward_passes": step * self._passes,
            **({"skipped": skipped} if skipped else {}),
        }


def _skipped(log: Log, steps: int) -> int:
    """Count the steps, among the first ``steps``, whose record has a NaN: those were skipped."""
    return int(np.isnan(log.scalars[:steps]).any(axis=1).sum())

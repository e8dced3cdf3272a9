"""Prints the progress of a run: a progress bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from zojax.cli._text import columns, wrapped
from zojax.lm.training import DataReport, Observer, Replayed, Result, Scores, Tick

if TYPE_CHECKING:
    from rich.progress import TaskID


class Console(Observer):
    """Prints plain lines, one for each evaluation on dev. Used as a context manager.

    A line is never wrapped: it may be read by a program.
    """

    def __init__(self) -> None:
        self._steps = 0

    def __enter__(self) -> Self:
        """Return the console."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it was."""

    def line(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def status(self, message: str) -> None:
        """Print a line about what begins now."""
        self.line(f"{message} ...")

    def data(self, report: DataReport) -> None:
        """Print what has been read."""
        for line in report.lines():
            self.line(line)

    def compiled(self, what: str, seconds: float) -> None:
        """Print how long a program took to compile."""
        self.line(f"compiled {what} in {seconds:.1f} s")

    def start(self, lines: Sequence[str]) -> None:
        """Print the table of starts."""
        for line in lines:
            self.line(line)

    def measured(self, name: str, scores: Scores) -> None:
        """Print test scores."""
        self.line(_scores(name, scores))

    def rate_tried(self, rate: float, loss: float) -> None:
        """Print a learning rate and its loss."""
        self.line(f"learning rate {rate:<8g} loss {loss:.4f}")

    def rate_found(self, rate: float, forward_passes: int) -> None:
        """Print the learning rate that was chosen."""
        self.line(f"learning rate {rate:g} is chosen, after {forward_passes} forward passes")

    def started(self, steps: int) -> None:
        """Remember the number of steps."""
        self._steps = steps

    def ticked(self, tick: Tick) -> None:
        """Print a line if dev was measured at this step."""
        if tick.dev is None:
            return
        left = tick.seconds / tick.step * (self._steps - tick.step)
        self.line(
            f"step {tick.step}/{self._steps}  {_of_steps(tick)}  "
            f"dev {tick.dev.metric_name} {tick.dev.shown}  "
            f"{_rate(tick):.0f} forward passes/s  {_clock(left)} left"
        )

    def advice(self, message: str) -> None:
        """Print what to try."""
        self.line(f"note: {message}")

    def reward_failed(self, message: str) -> None:
        """Print what the reward failed at."""
        self.line(f"note: {message}")

    def replayed(self, found: Replayed) -> None:
        """Print the result of a replay."""
        self.line(f"replayed   {found.steps} steps in {_clock(found.seconds)}")
        self.line(f"model      {found.folder}")

    def report(self, result: Result) -> None:
        """Print the results of a run."""
        self.line("")
        if result.zero_shot is not None:
            self.line(_scores(_start(result), result.zero_shot))
        if result.tuned is None or result.best is None:
            self.line(
                f"interrupted after step {result.steps}: the model and the metrics so far are "
                "saved. To measure the model, or to resume the run:"
            )
            self.line(f"    {shlex.join(['zojax', 'eval', str(result.folder)])}")
            self.line(f"    {shlex.join(['zojax', 'finetune', '--resume', str(result.folder)])}")
        else:
            self.line(f"{_scores('tuned', result.tuned)}, step {result.steps}")
            self.line(f"{_scores('best', result.best)}, step {result.best_step} (chosen on dev)")
        if result.skipped:
            self.line(f"skipped    {result.skipped} steps whose loss or slopes were not finite")
        seconds = result.seconds
        self.line(
            f"time       {_clock(seconds['total'])}: {_clock(seconds['steps'])} in steps, "
            f"{_clock(seconds['compile'])} compiling, {_clock(seconds['load'])} loading"
        )
        self.line(f"run        {result.folder}")
        self.line(f"model      {result.model_folder}")


class BarConsole(Console):
    """Draws a progress bar while training; before and after, counts the seconds of what goes on."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console as RichConsole
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = RichConsole(highlight=False)
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
        )
        self._task = self._progress.add_task("", total=None, start=False)
        self._metric = ""

        self._counter = Progress(
            TextColumn("{task.description} ...", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._counted: TaskID | None = None

    def __exit__(self, *error: object) -> None:
        """Remove what moves, and leave the lines."""
        self._settle()
        self._progress.stop()

    def line(self, text: str) -> None:
        """Print a line, above the bar, wrapped between words."""
        self._settle()
        self._print(text)

    def status(self, message: str) -> None:
        """Count the seconds until the next report."""
        self._settle()
        if self._progress.live.is_started:
            super().status(message)
            return
        self._counted = self._counter.add_task(message)
        self._counter.start()

    def compiled(self, what: str, seconds: float) -> None:
        """Leave the line that has counted the seconds, or print one."""
        if self._counted is None:
            super().compiled(what, seconds)
        self._settle()

    def rate_tried(self, rate: float, loss: float) -> None:
        """Print a learning rate and its loss."""
        self.line(f"learning rate {rate:<8g} loss {loss:.4f}")

    def rate_found(self, rate: float, forward_passes: int) -> None:
        """Print the learning rate that was chosen."""
        self.line(f"learning rate {rate:g} is chosen, after {forward_passes} forward passes")

    def started(self, steps: int) -> None:
        """Draw the bar."""
        self._settle()
        super().started(steps)
        self._progress.update(self._task, total=steps)
        self._progress.start_task(self._task)
        self._progress.start()

    def ticked(self, tick: Tick) -> None:
        """Advance the bar."""
        if tick.dev is not None:
            self._metric = f"  {tick.dev.metric_name} {tick.dev.shown}"
        self._progress.update(
            self._task,
            completed=tick.step,
            description=f"{_of_steps(tick)}{self._metric}  {_rate(tick):.0f} passes/s",
        )

    def stopped(self) -> None:
        """Remove the bar."""
        self._progress.stop()

    def _settle(self) -> None:
        """Replace the line that counts by one that says how long it took."""
        if self._counted is None:
            return
        task = self._counter.tasks[-1]
        self._counter.stop()
        self._counter.remove_task(self._counted)
        self._counted = None
        self._print(f"{task.description} ... {task.elapsed or 0.0:.1f} s")

    def _print(self, text: str) -> None:
        self._console.print(wrapped(text, columns(sys.stdout)), markup=False, soft_wrap=True)


def make_console() -> Console:
    """Return a console with a progress bar on a terminal, else one that prints lines."""
    return BarConsole() if sys.stdout.isatty() else Console()


def _start(result: Result) -> str:
    """What the scores before the first step are called."""
    words = result.start is None or result.start.name == "words"
    return "zero-shot" if words else "start"


def _of_steps(tick: Tick) -> str:
    """What the steps since the last tick were like."""
    found = tick.rewards
    if found is None:
        return f"loss {tick.loss:.4f}"
    return (
        f"reward {found.reward:.4g}, best {found.best:.4g}, spread {found.spread:.2g}, length "
        f"{found.length:.1f}{_failed(found.failures)}"
    )


def _failed(count: int | None) -> str:
    return f", {count} failed" if count else ""


def _scores(name: str, scores: Scores) -> str:
    if scores.reward is not None:
        return (
            f"{name:<10} reward {scores.shown} of {scores.examples} test prompts, best "
            f"{scores.reward_best:.4g}, spread {scores.reward_spread:.2g}, length "
            f"{scores.length:.1f}{_failed(scores.failures)}"
        )
    if scores.tokens is not None:
        return (
            f"{name:<10} perplexity {scores.shown}, loss {scores.loss:.4f} of {scores.tokens} "
            f"tokens of {scores.examples} test rows"
        )
    if scores.f1 is None:
        return f"{name:<10} {scores.shown} of {scores.examples} test examples"
    return (
        f"{name:<10} F1 {scores.f1:.1%}, exact match {scores.exact_match:.1%} of {scores.examples} "
        "test examples"
    )


def _rate(tick: Tick) -> float:
    return tick.forward_passes / max(tick.seconds, 1e-9)


def _clock(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:04.1f}"

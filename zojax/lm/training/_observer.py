"""Observers of a run: the command line's progress bar, a notebook, a test."""

from __future__ import annotations

from collections.abc import Sequence

from zojax.lm.training._evaluation import Scores
from zojax.lm.training._loop import Tick
from zojax.lm.training._report import DataReport


class Observer:
    """Callbacks that a run calls; they do nothing unless a subclass overrides them."""

    def status(self, message: str) -> None:
        """Called with a line that says what begins now."""

    def data(self, report: DataReport) -> None:
        """Called with what has been read, before the model loads."""

    def start(self, lines: Sequence[str]) -> None:
        """Called with a table of the starts of a task with classes, before the first step."""

    def compiled(self, what: str, seconds: float) -> None:
        """Called when a program, which ``status`` has announced, was compiled in ``seconds``."""

    def measured(self, name: str, scores: Scores) -> None:
        """Called with test scores: in a run, ``"zero-shot"``; the others are in its result."""

    def started(self, steps: int) -> None:
        """Called when training begins."""

    def ticked(self, tick: Tick) -> None:
        """Called every few steps with what the loop reports."""

    def stopped(self) -> None:
        """Called when training has ended, successfully or not."""

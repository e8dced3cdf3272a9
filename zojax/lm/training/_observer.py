"""Who watches a run: the command line's progress bar, a notebook, a test."""

from __future__ import annotations

from zojax.lm.training._evaluation import Scores
from zojax.lm.training._loop import Tick


class Observer:
    """Hears how a run goes, and does nothing; override what you want to hear."""

    def status(self, message: str) -> None:
        """Hear a line about what begins now."""

    def measured(self, name: str, scores: Scores) -> None:
        """Hear test scores: ``"zero-shot"`` before the first step; the others are in the result."""

    def started(self, steps: int) -> None:
        """Hear that training begins."""

    def ticked(self, tick: Tick) -> None:
        """Hear how training goes."""

    def stopped(self) -> None:
        """Hear that training is over, one way or another."""

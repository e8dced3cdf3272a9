"""Observers of a run: the command line's progress bar, a notebook, a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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

    def rate_tried(self, rate: float, loss: float) -> None:
        """Called for each learning rate that a search tries, with its loss, or inf."""

    def rate_found(self, rate: float, forward_passes: int) -> None:
        """Called with the rate that the search chose, and what the search cost."""

    def started(self, steps: int) -> None:
        """Called when training begins."""

    def ticked(self, tick: Tick) -> None:
        """Called every few steps with what the loop reports."""

    def logged(self, metrics: dict[str, Any]) -> None:
        """Called with each line of metrics.jsonl as it is written: numbers by name, at ``step``."""

    def advice(self, message: str) -> None:
        """Called at most twice in a run that does not get better, with what to try."""

    def reward_failed(self, message: str) -> None:
        """Called at most once, with what the reward failed at first, and the row."""

    def stopped(self) -> None:
        """Called when training has ended, successfully or not."""


class Observers(Observer):
    """Several observers, called one after the other.

    Args:
      *observers: In the order in which they are called.
    """

    def __init__(self, *observers: Observer) -> None:
        for name in vars(Observer):
            if not name.startswith("_"):
                setattr(self, name, _all_of([getattr(one, name) for one in observers]))


def _all_of(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def call(*args: Any) -> None:
        for method in methods:
            method(*args)

    return call

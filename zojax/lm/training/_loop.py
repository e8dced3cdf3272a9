"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from zojax.lm.models import Params
from zojax.lm.rewards import RewardFigures
from zojax.lm.tasks import Batch
from zojax.lm.training._evaluation import Scores
from zojax.lm.training._folding import AfterStep, unchanged
from zojax.lm.training._step import Outcome, Step
from zojax.lm.training._window import mean_loss


class Tick(NamedTuple):
    """What the loop reports every few steps."""

    step: int  # updates so far
    loss: float  # mean of the finite losses since the last tick, nats; NaN if there are none
    left_out: int  # steps since the last tick whose loss is not finite
    forward_passes: int  # total so far, as zojax.passes counts them
    seconds: float  # time spent in steps so far, without measuring
    dev: Scores | None  # scores on dev at this step, if they were measured
    params: Params  # valid until the next tick: the next step donates their buffers
    state: Any  # the optimizer's state, valid until the next tick
    last: bool  # whether the run ends here, after all steps or early
    rewards: RewardFigures | None = None  # of the steps since the last tick, if they raise a reward


def train(
    step: Step,
    params: Params,
    state: Any,
    batches: Iterator[Batch],
    *,
    start: int = 0,
    losses: Sequence[float] = (),
    steps: int,
    seconds: float = 0.0,
    forward_passes: int,
    due: Callable[[int], bool],
    read: Callable[[Outcome], float],
    stop: Callable[[], bool],
    after: AfterStep = unchanged,
) -> Iterator[Tick]:
    """Take the steps after ``start`` up to ``steps``, and yield a tick every few steps.

    Args:
      step: ``(params, state, batch) -> (params, state, outcome)``; may donate its arguments.
      params: The parameters after ``start`` steps.
      state: The optimizer's state after ``start`` steps.
      batches: An endless iterator of batches, beginning with that of step ``start + 1``.
      start: Steps that were taken before.
      losses: Losses of the steps since the last tick before ``start``.
      steps: Total number of updates, those before ``start`` included.
      seconds: Time that the steps before took.
      forward_passes: Forward passes that one step counts as.
      due: Whether to yield a tick after a given step; after the last step there always is one.
      read: Called with the outcome of every step, in order and at most one step late; returns the
        step's loss.
      stop: Called after each step; returns whether to end early.
      after: Called after each step, with its number, the parameters and the state, which it may
        donate and replace.
    """
    unread: list[Outcome] = []
    losses = [*losses]
    begin = time.perf_counter()
    for count in range(start + 1, steps + 1):
        params, state, outcome = step(params, state, next(batches))
        params, state = after(count, params, state)
        unread.append(outcome)
        last = count == steps or stop()
        tick = last or due(count)
        # A step is read while the next one runs, so that the device does not wait for the reader.
        while len(unread) > (0 if tick else 1):
            losses.append(read(unread.pop(0)))
        if not tick:
            continue
        seconds += time.perf_counter() - begin
        mean = mean_loss(losses)
        yield Tick(count, *mean, count * forward_passes, seconds, None, params, state, last)
        if last:
            return
        losses = []
        begin = time.perf_counter()

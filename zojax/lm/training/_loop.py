"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from zojax.lm.models import Params
from zojax.lm.tasks import Batch
from zojax.lm.training._evaluation import Scores
from zojax.lm.training._step import Outcome, Step
from zojax.lm.training._window import mean_loss


class Tick(NamedTuple):
    """What the loop tells every few steps."""

    step: int  # updates so far
    loss: float  # mean over the finite ones since the last tick, nats; NaN if there are none
    left_out: int  # steps since the last tick whose loss is not finite
    forward_passes: int  # so far, as zojax.passes counts them
    seconds: float  # spent in steps so far, without measuring
    dev: Scores | None  # measured at this step, if it was due
    params: Params  # to read before the next tick: the next step takes their memory
    state: Any  # the optimizer's, likewise
    last: bool  # the run ends here, in time or early


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
) -> Iterator[Tick]:
    """Take the steps after ``start`` up to ``steps``, and yield what they came to.

    Args:
      step: ``(params, state, batch) -> (params, state, outcome)``; may take its arguments' memory.
      params: Where to start.
      state: The optimizer's.
      batches: Without end, that of the first step first.
      start: Steps that were taken before.
      losses: Of those after the last tick.
      steps: Updates in all.
      seconds: That the steps before took.
      forward_passes: What one step is worth.
      due: Whether there is a tick after a step; after the last there always is.
      read: Hears the outcome of every step, in order, at most one step late, and returns its loss.
      stop: Asked after each step whether to end early.
    """
    unread: list[Outcome] = []
    losses = [*losses]
    begin = time.perf_counter()
    for count in range(start + 1, steps + 1):
        params, state, outcome = step(params, state, next(batches))
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

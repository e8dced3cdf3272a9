"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from zojax.models._language_model import Params
from zojax.tasks import Batch
from zojax.training._evaluation import Scores
from zojax.training._step import Step


class NonFiniteLossError(ArithmeticError):
    """The loss became infinite or no number."""


class Tick(NamedTuple):
    """What the loop tells every few steps."""

    step: int  # updates so far
    loss: float  # mean over the steps since the last tick, nats
    forward_passes: int  # so far
    seconds: float  # spent in steps so far, without measuring
    dev: Scores | None  # measured at this step, if it was due
    params: Params  # to read before the next tick: the next step takes their memory


def train(
    step: Step,
    params: Params,
    state: Any,
    batches: Iterator[Batch],
    *,
    steps: int,
    forward_passes: int,
    log_every: int,
    eval_every: int,
    evaluate_dev: Callable[[Params], Scores],
    stop: Callable[[], bool],
) -> Iterator[Tick]:
    """Take ``steps`` steps, and yield what they came to.

    Args:
      step: ``(params, state, batch) -> (params, state, loss)``; may take its arguments' memory.
      params: Where to start.
      state: The optimizer's.
      batches: Without end.
      steps: Updates.
      forward_passes: Of one step.
      log_every: Steps between ticks.
      eval_every: Steps between measurements on dev, which have a tick of their own.
      evaluate_dev: Measures parameters.
      stop: Asked after each step whether to end early.

    Raises:
      NonFiniteLossError: A loss is infinite or no number. The parameters of the last tick's dev
        measurement are the last known to be sound.
    """
    losses: list[Any] = []
    seconds = 0.0
    start = time.perf_counter()
    for count in range(1, steps + 1):
        params, state, loss = step(params, state, next(batches))
        losses.append(loss)
        last = count == steps or stop()
        measure = last or count % eval_every == 0
        if not measure and count % log_every:
            continue
        # Reading the losses waits for the steps, so it is done once a tick, not once a step.
        values = np.array(jax.device_get(losses), np.float32)
        seconds += time.perf_counter() - start
        _require_finite(values, count)
        dev = evaluate_dev(params) if measure else None
        yield Tick(count, float(values.mean()), count * forward_passes, seconds, dev, params)
        if last:
            return
        losses = []
        start = time.perf_counter()


def _require_finite(losses: np.ndarray, count: int) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        step = count - len(losses) + 1 + int(bad[0])
        raise NonFiniteLossError(
            f"train: the loss must be finite, got {losses[bad[0]]} at step {step}. Lower the "
            "learning rate, or eps; in float16, try bfloat16."
        )

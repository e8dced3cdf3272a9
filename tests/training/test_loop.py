"""The loop alone, with a step that is no model: when it ticks, stops and refuses to go on."""

from __future__ import annotations

import itertools
import os
import signal
import threading

import numpy as np
import pytest

from zojax.training import NonFiniteLossError, Scores, Tick
from zojax.training._interrupt import interrupt_flag
from zojax.training._loop import train


def ticks(losses: list[float], stop_at: int = 99) -> list[Tick]:
    """Run over ``losses``; the parameter counts the steps."""
    taken = 0

    def step(params: int, state: None, batch: float) -> tuple[int, None, np.float32]:
        nonlocal taken
        taken = params + 1
        return taken, None, np.float32(batch)

    loop = train(
        step,
        0,
        None,
        iter(losses),
        steps=len(losses),
        forward_passes=2,
        log_every=2,
        eval_every=3,
        evaluate_dev=lambda params: Scores(params / 10, 0.0, 5),
        stop=lambda: taken >= stop_at,
    )
    return list(loop)


def test_ticks_come_when_due_with_the_mean_loss_since_the_last():
    got = [(t.step, t.loss, t.dev and t.dev.accuracy, t.params) for t in ticks([1, 2, 3, 4, 5])]
    assert got == [(2, 1.5, None, 2), (3, 3.0, 0.3, 3), (4, 4.0, None, 4), (5, 5.0, 0.5, 5)]


def test_forward_passes_and_seconds_add_up():
    got = ticks([1.0] * 6)
    assert [t.forward_passes for t in got] == [4, 6, 8, 12]
    assert all(a.seconds < b.seconds for a, b in itertools.pairwise(got))


def test_stopping_measures_once_more():
    got = ticks([1.0] * 9, stop_at=5)
    assert [t.step for t in got] == [2, 3, 4, 5]
    assert got[-1].dev == Scores(0.5, 0.0, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_the_loop(bad: float):
    with pytest.raises(NonFiniteLossError, match=f"must be finite, got {bad} at step 4"):
        ticks([1.0, 1.0, 1.0, bad, 1.0, 1.0])


def test_the_first_interrupt_is_a_flag_and_the_second_is_not():
    # A process in the background is born deaf to Ctrl-C, and the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupt_flag() as pressed:
            assert not pressed()
            os.kill(os.getpid(), signal.SIGINT)
            assert pressed()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_hear_no_interrupt():
    heard: list[bool] = []

    def listen() -> None:
        with interrupt_flag() as pressed:
            heard.append(pressed())

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [False]

"""The loop alone, with a step that is no model: when it ticks, stops and refuses to go on."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from zojax.lm.settings import NonFinite
from zojax.lm.training import NonFiniteLossError, Tick
from zojax.lm.training._interrupt import interrupt_flag
from zojax.lm.training._loop import train
from zojax.lm.training._reader import Reader
from zojax.lm.training._step import Outcome
from zojax.lm.training._window import Losses

pytestmark = pytest.mark.quick


def ticks(
    losses: list[float], stop_at: int = 99, start: int = 0, before: Sequence[float] = ()
) -> list[Tick]:
    """Run over ``losses``; the parameter counts the steps."""
    taken = 0

    def step(params: int, state: None, batch: float) -> tuple[int, None, Outcome]:
        nonlocal taken
        taken = params + 1
        return taken, None, Outcome(np.float32(batch), np.zeros(1, np.float32))

    loop = train(
        step,
        start,
        None,
        iter(losses),
        start=start,
        losses=before,
        steps=start + len(losses),
        forward_passes=2,
        due=lambda step: step % 2 == 0 or step % 3 == 0,
        read=lambda outcome: float(outcome.loss),
        stop=lambda: taken >= stop_at,
    )
    return list(loop)


def test_ticks_come_when_due_with_the_mean_loss_since_the_last():
    got = [(t.step, t.loss, t.last, t.params) for t in ticks([1, 2, 3, 4, 5])]
    assert got == [(2, 1.5, False, 2), (3, 3.0, False, 3), (4, 4.0, False, 4), (5, 5.0, True, 5)]


def test_the_mean_is_of_the_losses_that_are_finite():
    got = [(t.loss, t.left_out) for t in ticks([1, np.nan, np.inf, 4])]
    np.testing.assert_equal(got, [(1.0, 1), (np.nan, 1), (4.0, 0)])


def test_the_first_mean_is_of_the_losses_before_the_start_too():
    got = [(t.step, t.loss) for t in ticks([6, 8], start=7, before=[1, 3])]
    assert got == [(8, np.float32(10 / 3)), (9, 8.0)]


def test_the_steps_before_the_start_are_not_taken():
    assert [(t.step, t.loss, t.params) for t in ticks([1, 2, 3], start=3)] == [
        (4, 1.0, 4),
        (6, 2.5, 6),
    ]


def test_forward_passes_and_seconds_add_up():
    got = ticks([1.0] * 6)
    assert [t.forward_passes for t in got] == [4, 6, 8, 12]
    assert all(a.seconds < b.seconds for a, b in itertools.pairwise(got))


def test_stopping_is_the_last_tick():
    got = ticks([1.0] * 9, stop_at=5)
    assert [(t.step, t.last) for t in got] == [(2, False), (3, False), (4, False), (5, True)]


def test_every_step_is_read_in_order_and_at_most_one_step_late():
    read: list[float] = []
    late: list[int] = []

    def step(params: int, state: None, batch: float) -> tuple[int, None, Outcome]:
        late.append(params - len(read))
        return params + 1, None, Outcome(np.float32(batch), np.zeros(1, np.float32))

    def reader(outcome: Outcome) -> float:
        read.append(float(outcome.loss))
        return read[-1]

    for _ in train(
        step,
        0,
        None,
        itertools.count(),
        steps=7,
        forward_passes=1,
        due=lambda step: step == 4,
        read=reader,
        stop=lambda: False,
    ):
        pass
    assert read == [0, 1, 2, 3, 4, 5, 6]
    assert late == [0, 1, 1, 1, 0, 1, 1]


def reader(non_finite: NonFinite, step: int, skipped: int) -> Reader:
    return Reader(None, Losses(Path("none"), writes=False), non_finite, step, skipped)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_ends_the_run_or_is_counted(bad: float):
    outcomes = [Outcome(np.float32(x), np.zeros(1, np.float32)) for x in (1.0, bad)]
    stop = reader("stop", 2, 0)
    assert stop(outcomes[0]) == 1.0
    with pytest.raises(NonFiniteLossError, match=f"loss must be finite, got {bad} at step 4"):
        stop(outcomes[1])
    skip = reader("skip", 2, 5)
    np.testing.assert_equal([skip(outcome) for outcome in outcomes], [1.0, bad])
    assert (skip.step, skip.skipped) == (4, 6)


def test_slopes_that_are_no_numbers_end_the_run_too():
    stop = reader("stop", 0, 0)
    with pytest.raises(NonFiniteLossError, match=r"slopes or the gradient must be finite.*step 1"):
        stop(Outcome(np.float32(1.0), np.full(1, np.nan, np.float32)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_flag_and_the_second_is_not(number: signal.Signals):
    # A process in the background is born deaf to Ctrl-C, and the tests may be one.
    before = signal.signal(number, signal.default_int_handler)
    try:
        with interrupt_flag() as heard:
            assert heard() == 0
            os.kill(os.getpid(), number)
            assert heard() == number
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_other_threads_hear_no_interrupt():
    heard: list[int] = []

    def listen() -> None:
        with interrupt_flag() as pressed:
            heard.append(pressed())

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [0]

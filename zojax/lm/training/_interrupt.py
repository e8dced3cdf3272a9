"""Ctrl-C and SIGTERM as wishes that the loop grants between two steps, when all is whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

_WISHES = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupt_flag() -> Generator[Callable[[], int]]:
    """Turn the first Ctrl-C or SIGTERM into a flag; a second one acts as usual.

    A KeyboardInterrupt inside a step would leave parameters whose memory is already given away.

    Returns:
      A context manager whose value tells the number of the signal that was heard, 0 before.
      Outside the main thread, where Python hears no signals, it is always 0.
    """
    heard = 0

    def hear(number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        heard = number
        give_back()

    def give_back() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    previous: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _WISHES}
    for number in _WISHES:
        signal.signal(number, hear)
    try:
        yield lambda: heard
    finally:
        give_back()

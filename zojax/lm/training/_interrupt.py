"""Ctrl-C and SIGTERM as a flag that the loop reads between steps, when its state is consistent."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupt_flag() -> Generator[Callable[[], int]]:
    """Turn the first Ctrl-C or SIGTERM into a flag; a second one acts as usual.

    A KeyboardInterrupt inside a step would leave parameters whose buffers are already donated.

    Returns:
      A context manager whose value is a function that returns the number of the signal received,
      or 0 before there is one. Outside the main thread, where Python receives no signals, it
      always returns 0.
    """
    received = 0

    def receive(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received = number
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    previous: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, receive)
    try:
        yield lambda: received
    finally:
        restore()

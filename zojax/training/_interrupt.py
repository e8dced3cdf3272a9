"""Ctrl-C as a wish that the loop grants between two steps, when its parameters are whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from types import FrameType


@contextlib.contextmanager
def interrupt_flag() -> Generator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag; a second one interrupts as usual.

    A KeyboardInterrupt inside a step would leave parameters whose memory is already given away.

    Returns:
      A context manager whose value tells whether Ctrl-C was pressed. Outside the main thread,
      where Python hears no signals, it is always False.
    """
    pressed = False

    def press(_signal: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, previous)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)

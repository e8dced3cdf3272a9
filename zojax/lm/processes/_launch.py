"""Starts the processes of a job on one host, and ends them together."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import IO

from zojax.lm.processes._join import COORDINATOR, NUM_PROCESSES, PROCESS_ID

_GRACE_SECONDS = 10.0


def launch(command: Sequence[str], processes: int) -> int:
    """Run ``command`` as several processes of one job on this host, and wait for all of them.

    The processes find each other through the environment variables that :func:`join` reads. If the
    host has accelerators, process i uses the i-th. Only process 0 prints. Ctrl-C and SIGTERM are
    passed on to the processes; a second one ends them. When a process fails, the others are ended
    and its error is printed once.

    Args:
      command: The program and its arguments.
      processes: The number of processes.

    Returns:
      The exit status: 0, that of the first process that failed, or 130 after Ctrl-C.

    Raises:
      ValueError: ``processes`` is less than 1.
    """
    if processes < 1:
        raise ValueError(f"launch: processes must be >= 1, got {processes}.")
    job = _Job(command, processes)
    previous = {s: signal.signal(s, job.pass_on) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        return job.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        job.close()


class _Job:
    """The processes of :func:`launch`."""

    def __init__(self, command: Sequence[str], processes: int) -> None:
        address = f"127.0.0.1:{_free_port()}"
        self._signals = 0
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        # Errors go into files, because a process blocks when it writes to a full pipe.
        self._errors: list[IO[bytes]] = []
        self._children: list[subprocess.Popen[bytes]] = []
        for i in range(processes):
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the job
            own = {COORDINATOR: address, NUM_PROCESSES: str(processes), PROCESS_ID: str(i)}
            child = subprocess.Popen(
                command,
                env={**os.environ, **own, "JAX_LOCAL_DEVICE_IDS": str(i)},
                stdin=subprocess.DEVNULL,
                stdout=None if i == 0 else subprocess.DEVNULL,
                stderr=errors,
                # Otherwise the terminal would send Ctrl-C to the children too, besides pass_on.
                start_new_session=True,
            )
            self._errors.append(errors)
            self._children.append(child)
            threading.Thread(target=self._watch, args=(i,), daemon=True).start()

    def _watch(self, number: int) -> None:
        # Each process has a thread, so that the queue has the order in which processes end.
        self._children[number].wait()
        self._ended.put(number)

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on to the processes; a second one makes :meth:`wait` end them."""
        self._signals += 1
        for child in self._children:
            child.send_signal(number)

    def wait(self) -> int:
        """Wait for all processes, and end the others when one has failed."""
        failed: int | None = None
        deadline = float("inf")
        left = set(range(len(self._children)))
        while left:
            if (failed is not None or self._signals > 1) and deadline == float("inf"):
                deadline = time.monotonic() + _GRACE_SECONDS
                self._send(left, signal.SIGTERM)
            if time.monotonic() > deadline:
                self._send(left, signal.SIGKILL)
            try:
                # The wait has a timeout because Python runs signal handlers only between waits.
                number = self._ended.get(timeout=0.2)
            except queue.Empty:
                continue
            left.remove(number)
            status = self._children[number].returncode
            if failed is None and status and not (self._signals and _by_signal(status)):
                failed = number
        if failed is None:
            self._show(0)
            statuses = [child.returncode for child in self._children]
            return next((_status(code) for code in statuses if code), 0)
        self._show(failed)
        return _status(self._children[failed].returncode)

    def close(self) -> None:
        """Kill the processes that still run, and close the files of errors."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
        for errors in self._errors:
            errors.close()

    def _send(self, numbers: set[int], signal_: int) -> None:
        for number in numbers:
            self._children[number].send_signal(signal_)

    def _show(self, number: int) -> None:
        """Print the errors of a process, or of all if ``ZOJAX_TRACEBACK`` is set."""
        every = range(len(self._children)) if os.environ.get("ZOJAX_TRACEBACK") else [number]
        for i in every:
            self._errors[i].seek(0)
            text = self._errors[i].read().decode(errors="replace")
            code = self._children[i].returncode
            if code < 0 and not self._signals:
                text += f"zojax: process {i} was ended by {signal.Signals(-code).name}\n"
            sys.stderr.write(text)


def _by_signal(status: int) -> bool:
    signals = (signal.SIGINT, signal.SIGTERM)
    return -status in signals or status - 128 in signals


def _status(code: int) -> int:
    """Convert a return code of :mod:`subprocess` to a shell's, which is 128 + n for signal n."""
    return code if code >= 0 else 128 - code


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]

"""A process that a reward runs in, as the program sees it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

_WORKER = Path(__file__).with_name("_worker.py")


class Said(NamedTuple):
    """A line that a process has written."""

    process: WorkerProcess
    answer: dict[str, Any] | None  # None: it has ended


class WorkerProcess:
    """A process of its own session, which gets no Ctrl-C of the terminal's and is killed whole.

    Args:
      source: What it loads.
      heard: Where its answers go, from a thread that reads them.
    """

    def __init__(self, source: dict[str, Any], heard: queue.SimpleQueue[Said]) -> None:
        # JAX in a reward must not take the accelerator that the run is on.
        environment = {"JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            [sys.executable, _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        self._heard = heard
        self.send(source)
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, content: dict[str, Any]) -> None:
        """Write a request. That the process has ended is said by what is heard of it."""
        line = json.dumps(content, default=str).encode() + b"\n"
        with contextlib.suppress(OSError):
            assert_open(self._process.stdin).write(line)
            assert_open(self._process.stdin).flush()

    def kill(self) -> None:
        """End the process, and all that it has started."""
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            assert_open(self._process.stdin).close()

    @property
    def ending(self) -> str:
        """How the process has ended, in words."""
        status = self._process.wait()
        if status >= 0:
            return f"its process ended with exit status {status}"
        return f"its process was ended by {signal.Signals(-status).name}"

    def _read(self) -> None:
        with assert_open(self._process.stdout) as lines:
            for line in lines:
                try:
                    answer = json.loads(line)
                except ValueError:  # the reward has found its way to what is not its own
                    self.kill()
                    break
                self._heard.put(Said(self, answer))
        self._heard.put(Said(self, None))


def assert_open(stream: Any) -> Any:
    """A stream of a process that was started with pipes."""
    if stream is None:
        raise RuntimeError("WorkerProcess: the process has no pipes.")
    return stream

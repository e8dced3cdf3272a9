"""A headless Chromium, spoken to through a pipe by its DevTools protocol: no package is needed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
READY = "document.readyState === 'complete'"


def executable() -> str | None:
    """A browser of this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser.

    Args:
      path: The program.
      folder: An empty folder for its profile.
    """

    def __init__(self, path: str, folder: Path) -> None:
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # The protocol's pipes are the descriptors 3 and 4 of the process.
        start = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        options = ["--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # which it refuses to use as root
        # No host has a name: the pages must be right without a network.
        options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            ["bash", "-c", start, "browser", path, *options, "about:blank"],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def look(self, *, width: int, dark: bool) -> None:
        """Set the width of the window in pixels, and the reader's colours."""
        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._call("Emulation.setDeviceMetricsOverride", **size)
        colours = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=colours)

    def open(self, address: str) -> None:
        """Load a page, and wait until all of it is there."""
        self._call("Page.navigate", url=address)
        # The page that was there before may be complete, too.
        while not self.value(f"location.href === {json.dumps(address)} && {READY}"):
            time.sleep(0.02)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript is on the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"browser: {found['exceptionDetails']}")
        return found["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"browser: {method}: {answer['error']}")
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._from, 65536)
            if not read:
                raise RuntimeError("browser: it has ended.")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

"""Runs the program as a user does: by its commands, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TICKETS = ("--text-column", "ticket", "--label-column", "queue")  # the columns of tickets.py


@dataclass(frozen=True)
class Zojax:
    """Calling it runs a command, with no settings of the tests.

    Attributes:
      python: The interpreter of the environment that zojax is installed in.
      folder: Where commands run.
    """

    python: Path
    folder: Path

    def __call__(
        self, *arguments: object, devices: int = 1, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "zojax", *arguments, devices=devices, timeout=timeout)

    def run(
        self, *arguments: object, devices: int = 1, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run Python; ``devices`` is the number of parts that the CPU is split in."""
        variables = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
        flags = [x for x in variables.get("XLA_FLAGS", "").split() if "device_count" not in x]
        if devices > 1:
            flags.append(f"--xla_force_host_platform_device_count={devices}")
        return subprocess.run(
            [self.python, "-P", *map(str, arguments)],
            cwd=self.folder,
            env={**variables, "XLA_FLAGS": " ".join(flags)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

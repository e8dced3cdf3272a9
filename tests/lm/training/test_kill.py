"""Processes that are killed, and runs that are the same all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "kill_runs.py"


@pytest.mark.slow
def test_killed_runs_end_with_the_same_bits():
    options = ["--runs", "3", "--optimizers", "mezo", "--seed", "1", "--no-record"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "3 of 3 the same" in done.stdout

"""To the bit, whatever multiply-adds the processor has."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from optimizers import OPTIMIZERS

HERE = Path(__file__).parent
# Its updates are made of gradients.
NEVER_REPLAYED = {"hybrid"}
LOGGED = tuple(name for name in OPTIMIZERS if name not in NEVER_REPLAYED)
# Of the kinds of arithmetic between slopes and parameters; the slow set has all optimizers.
KINDS = ("mezo, 3 queries", "zo_adamu", "zo_adam")
# Without and with multiply-adds of one rounding (FMA), and with vectors of 128 to 512 bits.
ALL = ("SSE4_2", "AVX", "AVX2", "AVX512")


def check(instruction_set: str, names: tuple[str, ...]) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"--xla_cpu_max_isa is for x86-64, and this is {platform.machine()}")
    if instruction_set == "AVX512" and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512")
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_cpu_max_isa={instruction_set}",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "instruction_sets.py"), *names],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert done.returncode == 0, done.stderr[-3000:]
    assert lines[-1].startswith("checked "), lines
    assert lines[:-1] == []


def test_each_kind_of_arithmetic_with_multiply_adds():
    check("AVX2", KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("instruction_set", ALL)
def test_every_optimizer_with_a_log(instruction_set: str):
    check(instruction_set, LOGGED)

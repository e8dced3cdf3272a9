"""Compile time of scanned and unrolled layers, on the CPU and for an A100 that is not there.

The forward pass of Qwen3-0.6B's loss, one step of MeZO, and one of ZO-AdaMU, each compiled in a
process of its own from shapes alone: no weight is allocated and nothing runs. XLA's autotuning is
off for the A100, since it needs the card. Counted are the processors' seconds, which other programs
on the machine change less than those of a clock.

    pip install ".[demo,plan]"
    python benchmarks/compile_time.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record

import zojax
from zojax import planning
from zojax.lm import models

MODEL = "qwen3-0.6b"
LAYERS = 28
BATCH, LENGTH = 4, 64
DEVICES = ("cpu", "a100-80gb")
STEPS = {
    "forward pass": None,
    "mezo": lambda: zojax.mezo(1e-6, eps=1e-3, key=0),
    "zo_adamu": lambda: zojax.zo_adamu(1e-6, eps=1e-3, key=0, num_steps=1000),
}
# How often each scanned program is compiled.
ROUNDS = 5
# Seconds after which a compilation is given up.
LIMIT = 1200.0


def compile_seconds(device: str, step: str, scanned: bool, layers: int) -> float:
    """Compile one program in this process, and say what tracing and XLA took."""
    work = models.workload(
        MODEL, batch=BATCH, length=LENGTH, dtype="bfloat16", layers=layers, scan_layers=scanned
    )
    if device != "cpu":
        planning.topology(device)  # starts the compiler, which is not part of the time
    optimizer = STEPS[step]
    start = _cpu_seconds()
    if optimizer is None:
        planning.compile_forward(device, work)
    else:
        planning.compile_step(device, work, optimizer())
    return _cpu_seconds() - start


def _cpu_seconds() -> float:
    """Of all threads, and of ended processes that this one started, such as an assembler."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def elsewhere(device: str, step: str, scanned: bool) -> float | None:
    """The same in a fresh process, or None where it takes longer than the limit."""
    job = json.dumps([device, step, scanned, LAYERS])
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--job", job],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return None
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--job", help="arguments of one compilation, whose seconds are printed")
    job = parser.parse_args().job
    if job:
        print(compile_seconds(*json.loads(job)))
        return
    rows: list[dict[str, Any]] = []
    for device in DEVICES:
        # In turn, so that a machine that gets slower does so for all of them.
        rounds = [{step: elsewhere(device, step, True) for step in STEPS} for _ in range(ROUNDS)]
        forward: dict[bool, float | None] = {}
        for step in STEPS:
            seconds = {
                True: _median([found[step] for found in rounds]),
                False: elsewhere(device, step, False),
            }
            if step == "forward pass":
                forward = seconds
            rows.append(
                {
                    "device": device,
                    "program": step,
                    "scanned, CPU s": _rounded(seconds[True]),
                    "unrolled, CPU s": _rounded(seconds[False]),
                    "unrolled / scanned": _ratio(seconds[False], seconds[True]),
                    "scanned, of its forward pass": _ratio(seconds[True], forward[True]),
                    "unrolled, of its forward pass": _ratio(seconds[False], forward[False]),
                }
            )
            print(rows[-1], flush=True)
            _record.write(
                "compile_time",
                f"Compile time of {MODEL}, {LAYERS} layers, scanned and unrolled",
                rows,
                f"Shapes and loss of {MODEL}, bfloat16, {BATCH}×{LENGTH} tokens. Each program is "
                "traced and compiled in a process of its own, whose processor time this is: that "
                f"of scanned ones is the median of {ROUNDS}, that of unrolled ones is one. Ratios "
                f"compare within this run. – means that it took more than {LIMIT:.0f} s.",
            )


def _median(seconds: list[float | None]) -> float | None:
    known = [found for found in seconds if found is not None]
    return statistics.median(known) if len(known) == len(seconds) else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _ratio(seconds: float | None, of: float | None) -> float | None:
    return None if seconds is None or of is None else round(seconds / of, 2)


if __name__ == "__main__":
    main()

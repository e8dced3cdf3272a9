"""Memory of a training step over that of inference, and how long both take to compile.

Read from compiled programs: the A100's are compiled without one.

    pip install ".[demo,plan]"
    python benchmarks/step_memory.py

``--devices`` measures one device's rows again and keeps the others.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record
import jax
import jax.numpy as jnp

import zojax
from zojax import planning
from zojax.lm import models

NAME = "step_memory"
WORKLOADS: list[tuple[str, str, Any, int, int]] = [
    ("cpu", "opt-125m", jnp.float32, 4, 64),
    ("a100-80gb", "opt-125m", jnp.float32, 4, 64),
    ("a100-80gb", "opt-1.3b", jnp.bfloat16, 8, 256),
    ("a100-80gb", "roberta-large", jnp.float32, 16, 128),
    ("a100-80gb", "opt-13b", jnp.bfloat16, 1, 2048),
]
OPTIMIZERS = {
    "mezo": zojax.mezo(1e-6, eps=1e-3, key=0),
    "mezo, random signs": zojax.mezo(1e-6, eps=1e-3, key=0, direction=zojax.Rademacher()),
    "mezo, rank 1": zojax.mezo(1e-6, eps=1e-3, key=0, direction=zojax.LowRank()),
    "zo_adamu": zojax.zo_adamu(1e-4, eps=1e-3, key=0),
    "zo_adamu, bfloat16 momentum": zojax.zo_adamu(1e-4, eps=1e-3, key=0, centre_dtype=jnp.bfloat16),
}


def main() -> None:
    devices = sorted({device for device, *_ in WORKLOADS})
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--devices", nargs="+", choices=devices, default=devices)
    chosen = parser.parse_args().devices
    recorded = _record.RESULTS / f"{NAME}.json"
    kept = json.loads(recorded.read_text(encoding="utf-8"))["rows"] if recorded.is_file() else []
    rows: list[dict[str, Any]] = []
    for device, model, dtype, batch, length in WORKLOADS:
        if device not in chosen:
            continue
        work = models.workload(model, batch=batch, length=length, dtype=dtype)
        # Short compilations are timed several times, and the first has more to load.
        times = 5 if model == "opt-125m" else 1
        _compiled(1, planning.compile_forward, device, work)
        forward, forward_seconds = _compiled(5, planning.compile_forward, device, work)
        for name, optimizer in OPTIMIZERS.items():
            step, seconds = _compiled(times, planning.compile_step, device, work, optimizer)
            row = {
                "device": device,
                "model": f"{model}, {jnp.dtype(dtype).name}, {batch}×{length}",
                "optimizer": name,
                "parameters, MB": round(work.nbytes / 1e6),
                "forward pass, MB": round(forward / 1e6),
                "step, MB": round(step / 1e6),
                "step ÷ forward pass": round(step / forward, 3),
                "beyond it, in parameters": round((step - forward) / work.nbytes, 3),
                "compile time ÷ forward pass's": round(seconds / forward_seconds, 1),
            }
            print(row, flush=True)
            rows.append(row)
    path = _record.write(
        NAME,
        "Device memory of a step and of a forward pass",
        [row for device in ("cpu", "a100-80gb") for row in _of(device, chosen, rows, kept)],
        "Bytes of arguments, results and temporaries of the compiled program, tokens included. "
        "zo_adamu keeps its momentum, one buffer of the parameters' size and dtype. Compile times "
        "are medians of five, for a step of the larger models of one run; tracing is included.",
    )
    print(f"written: {path}")


def _of(device: str, chosen: list[str], new: list[Any], kept: list[Any]) -> list[Any]:
    return [row for row in (new if device in chosen else kept) if row["device"] == device]


def _compiled(times: int, compile_: Any, *args: Any) -> tuple[int, float]:
    seconds: list[float] = []
    for _ in range(times):
        jax.clear_caches()
        start = time.perf_counter()
        program = compile_(*args)
        seconds.append(time.perf_counter() - start)
    return planning.memory(program).device, statistics.median(seconds)


if __name__ == "__main__":
    main()

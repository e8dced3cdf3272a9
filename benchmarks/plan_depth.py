"""A step compiled whole, and continued from 2 and 4 layers: how far the two are apart.

pip install ".[demo,plan]"
python benchmarks/plan_depth.py
"""

from __future__ import annotations

import os
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record

from zojax import planning
from zojax.lm import models

WORKLOADS: list[tuple[str, str, int, int, int]] = [
    ("opt-125m", "zo_adamu", 1, 16, 256),
    ("opt-125m", "mezo", 4, 16, 256),
    ("opt-13b", "zo_adamu", 1, 16, 256),
]


def main() -> None:
    rows: list[dict[str, Any]] = []
    for model, optimizer, devices, batch, length in WORKLOADS:
        work = models.workload(model, batch=batch, length=length, dtype="bfloat16")
        line = planning.plan(work, optimizer, devices=devices)
        whole = planning.plan(work, optimizer, devices=devices, full=True)
        row = {
            "step": f"{model}, {optimizer}, {batch}×{length}, {devices} × a100-80gb",
            "memory, GB": round(whole.total_bytes / 1e9, 3),
            "from 2 and 4 layers": round(line.total_bytes / 1e9, 3),
            "operations, T": round(whole.step.flops / 1e12, 3),
            "operations from them": round(line.step.flops / 1e12, 3),
            "bytes moved, GB": round(whole.step.bytes_accessed / 1e9, 3),
            "bytes from them": round(line.step.bytes_accessed / 1e9, 3),
            "collectives, GB": round(_communicated(whole) / 1e9, 3),
            "collectives from them": round(_communicated(line) / 1e9, 3),
        }
        print(row, flush=True)
        rows.append(row)
        _record.write(
            "plan_depth",
            "A step compiled whole, and continued in a line from 2 and 4 layers",
            rows,
            "On each device, bfloat16.",
        )


def _communicated(plan: planning.Plan) -> int:
    return sum(found.bytes for found in plan.step.collectives.values())


if __name__ == "__main__":
    main()

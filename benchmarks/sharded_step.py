"""What a step over eight A100s communicates, by layout, beside its two forward passes.

pip install ".[demo,plan]"
python benchmarks/sharded_step.py
"""

from __future__ import annotations

import os
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record

from zojax import planning
from zojax.lm import models

MODEL, LENGTH = "opt-1.3b", 256
# Mesh, sequences, optimizer, and whether the step is compiled with all 24 layers.
PROGRAMS: list[tuple[dict[str, int], int, str, bool]] = [
    ({"model": 8}, 16, "mezo", True),
    ({"model": 8}, 16, "zo_adamu", False),
    ({"fsdp": 8}, 16, "mezo", False),
    ({"fsdp": 8}, 16, "zo_adamu", False),
    ({"data": 8}, 16, "mezo", False),
    ({"data": 2, "model": 4}, 16, "mezo", False),
    ({"fsdp": 2, "model": 4}, 16, "mezo", False),
]


def main() -> None:
    rows: list[dict[str, Any]] = []
    for axes, batch, optimizer, whole in PROGRAMS:
        work = models.workload(MODEL, batch=batch, length=LENGTH, dtype="bfloat16")
        plan = planning.plan(work, optimizer, mesh=axes, full=whole, shallow=not whole)
        passes, step = plan.forward.collectives, plan.step.collectives
        for kind in sorted({**passes, **step}):
            before = passes.get(kind, planning.Collective(0, 0))
            after = step.get(kind, planning.Collective(0, 0))
            rows.append(
                {
                    "mesh": ", ".join(f"{name}={size}" for name, size in axes.items()),
                    "optimizer": optimizer,
                    "compiled layers": ", ".join(map(str, plan.step.compiled_layers)),
                    "kind": kind,
                    "of two forward passes": 2 * before.runs,
                    "of the step": after.runs,
                    "bytes of two forward passes": 2 * before.bytes,
                    "bytes of the step": after.bytes,
                }
            )
            print(rows[-1], flush=True)
        _record.write(
            "sharded_step",
            "Communication of a step of OPT-1.3B on 8 A100-80GB",
            rows,
            f"bfloat16, {batch}×{LENGTH} tokens; how often, and bytes of the results on each "
            "device. The compiler joins neighbouring collectives into one, not the same ones in "
            "every program.",
        )


if __name__ == "__main__":
    main()

"""Large OPTs on 1 to 16 A100s that are not there: memory, communication, time at best.

pip install ".[demo,plan]"
python benchmarks/mesh_study.py

Writes each row as it is found, and goes on where it was stopped. Takes hours on two cores.
"""

from __future__ import annotations

import json
import os
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record

from zojax import planning
from zojax.lm import models

NAME = "mesh_study"
DEVICE = "a100-80gb"
MODELS = ("opt-13b", "opt-30b", "opt-66b", "opt-175b")
OPTIMIZERS = ("mezo", "zo_adamu")
# Batch and length; then the meshes, smallest first. A mesh's axis model must divide the heads: 40,
# 56, 72, 96; a batch of one sequence cannot be cut, so that the 16 cards of most have another.
WORKLOADS: dict[tuple[int, int], tuple[dict[str, int], ...]] = {
    (1, 2048): ({}, {"model": 2}, {"model": 4}, {"model": 8}, {"model": 16}),
    (16, 256): ({"data": 2, "model": 8},),
}
HEADS = {"opt-13b": 40, "opt-30b": 56, "opt-66b": 72, "opt-175b": 96}
FOUND = (
    "memory, GB",
    "forward pass, GB",
    "fits",
    "collectives",
    "of two forward passes",
    "sent, GB",
    "roofline, s",
    "nothing overlapped, s",
    "two forward passes, s",
)
CAPTION = (
    "bfloat16; bytes are of one device. The forward pass and the step are compiled for the mesh at "
    "2 and 4 layers and continued in a line to the model's depth; a model whose parameters and "
    "state alone exceed the memory is not compiled. Roofline: operations at 312 TFLOP/s, memory at "
    "2039 GB/s, and bytes sent at NVLink's 300 GB/s one way, 16 cards taken as one NVLink domain; "
    "the largest of the three, and the sum of communication and the larger of the others, as if "
    "nothing overlapped."
)


def main() -> None:
    rows = saved()
    done = {(row["model"], row["tokens"], row["devices"], row["optimizer"]) for row in rows}
    for (batch, length), meshes in WORKLOADS.items():
        for model in MODELS:
            for axes in meshes:
                if HEADS[model] % axes.get("model", 1):
                    continue
                for optimizer in OPTIMIZERS:
                    key = (model, named_tokens(batch, length), named(axes), optimizer)
                    if key not in done:
                        rows.append(row(model, optimizer, axes, batch, length))
                        print(rows[-1], flush=True)
                        write(rows)


def saved() -> list[dict[str, Any]]:
    path = _record.RESULTS / f"{NAME}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def write(rows: list[dict[str, Any]]) -> None:
    order = {name: place for place, name in enumerate(MODELS)}
    rows.sort(key=lambda row: (row["tokens"], order[row["model"]], row["optimizer"]))
    _record.write(NAME, "Large OPTs on 1 to 16 A100-80GB", rows, CAPTION)
    smallest: list[dict[str, Any]] = []
    for row in rows:
        if row["tokens"] != named_tokens(*next(iter(WORKLOADS))):
            continue
        key = {name: row[name] for name in ("tokens", "model", "optimizer")}
        fits = [other for other in rows if key.items() <= other.items() and other["fits"] == "yes"]
        found = {**key, "smallest mesh": fits[0]["devices"] if fits else "none of these"}
        if found not in smallest:
            smallest.append(found)
    _record.write("mesh_smallest", "The smallest mesh that fits", smallest)


def named_tokens(batch: int, length: int) -> str:
    return f"{batch}×{length}"


def named(axes: dict[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in axes.items()) or "1"


def row(
    model: str, optimizer: str, axes: dict[str, int], batch: int, length: int
) -> dict[str, Any]:
    key = {
        "model": model,
        "tokens": named_tokens(batch, length),
        "devices": named(axes),
        "optimizer": optimizer,
    }
    work = models.workload(model, batch=batch, length=length, dtype="bfloat16")
    copies = {"mezo": 1, "zo_adamu": 2}[optimizer]
    least = copies * work.nbytes / axes.get("model", 1)
    if least > planning.TABLE[DEVICE].memory:
        return {**key, **dict.fromkeys(FOUND), "memory, GB": f"> {least / 1e9:.0f}", "fits": "no"}
    plan = planning.plan(
        work,
        optimizer,
        DEVICE,
        mesh=axes or None,
        shallow=True,
    )
    step, forward = plan.step, plan.forward
    device = plan.device
    alone = max(step.flops / device.peak["bfloat16"], step.bytes_accessed / device.bandwidth)
    values = (
        round(plan.total_bytes / 1e9, 2),
        round(forward.memory.device / 1e9, 2),
        "yes" if plan.fits else "no",
        communicated(step),
        communicated(forward, 2),
        round(step.sent_bytes / 1e9, 3),
        round(step.seconds, 4),
        round(alone + step.communication_seconds, 4),
        round(2 * forward.seconds, 4),
    )
    return {**key, **dict(zip(FOUND, values, strict=True))}


def communicated(program: planning.ProgramPlan, times: int = 1) -> str:
    kinds = [
        f"{times * found.runs} {kind}s, {times * found.bytes / 1e9:.3f} GB"
        for kind, found in program.collectives.items()
    ]
    return ", ".join(kinds) or "none"


if __name__ == "__main__":
    main()

"""The largest OPT that each hardware can tune, beside the MeZO paper's table.

Every answer is read from compiled programs: no card is needed, and no weights. The file is
written after each row, so that an interrupted run keeps what it has.

    pip install ".[demo,plan]"
    python benchmarks/largest_model.py
"""

from __future__ import annotations

import os
import sys
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record

from zojax import planning

# Malladi et al., 2023, arXiv:2305.17333, Figure 4: largest OPT by fine-tuning with Adam, and by
# inference, which is MeZO's. Its Appendix E.7: one sequence a device, MultiRC (400 tokens on
# average), fully sharded data parallelism for Adam. 175B was projected, not run.
PAPER = {
    1: {"adam": "opt-2.7b", "mezo": "opt-30b"},
    2: {"adam": "opt-6.7b", "mezo": "opt-66b"},
    4: {"adam": "opt-13b", "mezo": "opt-66b"},
    8: {"adam": "opt-30b", "mezo": "opt-175b"},
}
OPTIMIZERS = [
    ("adam", "float32"),
    ("adam", "bfloat16"),
    ("mezo", "bfloat16"),
    ("zo_adamu", "bfloat16"),
]
HARDWARE = [
    *[("a100-80gb", devices) for devices in PAPER],
    ("a100-40gb", 1),
    ("h100-80gb", 1),
    ("h200-141gb", 1),
    ("v100-32gb", 1),
    ("tpu-v5e", 1),
    ("tpu-v5p", 1),
    ("tpu-v6e", 1),
]


def main() -> None:
    rows: list[dict[str, Any]] = []
    for device, devices in HARDWARE:
        for optimizer, wanted in OPTIMIZERS:
            volta = device == "v100-32gb"  # which has no bfloat16
            dtype = "float16" if volta and wanted == "bfloat16" else wanted
            found = planning.largest(optimizer, device, devices=devices, dtype=dtype, tell=_tell)
            row = _row(found)
            print(row, flush=True)
            rows.append(row)
            _write(rows)


def _tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _row(found: planning.Largest) -> dict[str, Any]:
    paper = None
    if found.device == "a100-80gb":
        paper = PAPER[found.devices].get(found.optimizer)
    return {
        "hardware": f"{found.devices} × {found.device}",
        "optimizer": found.optimizer,
        "dtype": found.dtype,
        "largest OPT": _size(found.model),
        "the paper's": _size(paper),
        "needs, GB a device": _needs(found.plan),
        "next OPT": _size(found.next_model),
        "would need, GB a device": _needs(found.next_plan),
        "device, GB": round(planning.TABLE[found.device].memory / 1e9, 1),
        "why": _why(found, paper),
    }


def _size(model: str | None) -> str | None:
    return model.removeprefix("opt-").upper() if model else None


def _needs(plan: planning.Plan | None) -> float | None:
    return round(plan.total_bytes / 1e9, 1) if plan else None


def _why(found: planning.Largest, paper: str | None) -> str:
    if found.optimizer == "zo_adamu":
        return (
            "The momentum is a second buffer of the parameters' size: the largest model is the one "
            "that inference could hold in half the memory, not MeZO's."
        )
    if paper is None:
        return "The paper has no such hardware."
    if found.model == paper:
        return "As in the paper."
    order = planning.OPT_MODELS
    larger = found.model is not None and order.index(found.model) > order.index(paper)
    if found.optimizer == "adam" and larger:
        return (
            "One sequence in all, and layers computed by all devices together; the paper has one "
            "sequence on each device, gathers each layer's parameters there, and measures PyTorch "
            "with its allocator and its copies."
            if found.dtype == "float32"
            else "Parameters, gradients and both moments in 2 bytes instead of the 4 of "
            "fine-tuning in float32."
        )
    if larger:
        return (
            "The parameters are cut evenly over the devices; the paper's inference puts whole "
            "layers on each and measures PyTorch with its allocator."
        )
    return "The step needs more than the device has, by the figures on the left."


def _write(rows: list[dict[str, Any]]) -> None:
    path = _record.write(
        "largest_model",
        "The largest OPT that each hardware can tune",
        rows,
        "One sequence of 400 tokens, the length of the MeZO paper's Figure 4 (arXiv:2305.17333), "
        "whose table stands beside: fine-tuning with Adam, and inference for MeZO (175B was "
        "projected there). Buffers of the compiled program on each device against its memory; a "
        "run needs some hundred MB besides. The next OPT has no figure where its parameters and "
        "state alone exceed the device, or where the compiler refused it. Steps of mezo and "
        "zo_adamu are compiled at 2 and 4 layers and continued in a line; those of adam are "
        "compiled whole. Several devices: tensor-parallel.",
    )
    print(f"written: {path}", flush=True)


if __name__ == "__main__":
    main()

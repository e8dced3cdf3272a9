"""The largest OPT that each hardware can tune, beside the MeZO paper's table.

Every answer is read from compiled programs: no card is needed, and no weights. The file is
written after each row, so that an interrupted run keeps what it has.

    pip install ".[demo,plan]"
    python benchmarks/largest_model.py
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record

from zojax import planning
from zojax.lm import models

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
    ("zo_adamu, subspace of rank 16", "bfloat16"),
]
RANK = 16
# Of the other devices `zojax plan --largest --device ...` tells.
DEVICE = "a100-80gb"
MODELS = models.OPT_MODELS
TOKENS = {"batch": 1, "length": 400}


def main() -> None:
    rows: list[dict[str, Any]] = []
    for devices, paper in PAPER.items():
        for optimizer, dtype in OPTIMIZERS:
            works = [partial(models.workload, name, **TOKENS, dtype=dtype) for name in MODELS]
            name, _, subspace = optimizer.partition(", ")
            found = planning.largest(
                works,
                name,
                DEVICE,
                devices=devices,
                subspace_rank=RANK if subspace else None,
                tell=_tell,
            )
            row = _row(found, dtype, paper.get(optimizer), rows)
            print(row, flush=True)
            rows.append(row)
            _write(rows)


def _tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _row(
    found: planning.Largest, dtype: str, paper: str | None, before: list[dict[str, Any]]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "hardware": f"{found.devices} × {found.device}",
        "optimizer": found.optimizer,
        "dtype": dtype,
        "largest OPT": _size(found.model),
        "the paper's": _size(paper),
        "needs, GB a device": _needs(found.plan),
        "next OPT": _size(found.next_model),
        "would need, GB a device": _needs(found.next_plan),
        "device, GB": round(planning.TABLE[found.device].memory / 1e9, 1),
    }
    return {**row, "why": why(row, before)}


def _size(model: str | None) -> str | None:
    return model.removeprefix("opt-").upper() if model else None


def _needs(plan: planning.Plan | None) -> float | None:
    return round(plan.total_bytes / 1e9, 1) if plan else None


def why(row: dict[str, Any], before: list[dict[str, Any]]) -> str | None:
    """Why a row differs: from MeZO's on the same hardware, or from the paper's."""
    own, paper = row["largest OPT"], row["the paper's"]
    if row["optimizer"] == "zo_adamu":
        (mezo,) = (
            each["largest OPT"]
            for each in before
            if (each["hardware"], each["optimizer"]) == (row["hardware"], "mezo")
        )
        if own == mezo:
            return (
                "The momentum, a second buffer of the parameters' size, fits beside MeZO's model."
            )
        return (
            f"Not MeZO's {mezo}: the momentum is a second buffer of the parameters' size, and both "
            "together exceed the memory."
        )
    if paper is None or own == paper:
        return None
    if row["optimizer"] == "adam" and row["dtype"] == "float32":
        return (
            "12 bytes a parameter, for the parameter and two moments: the compiled step uses each "
            "gradient as soon as it has it. PyTorch keeps all gradients until its optimizer runs: "
            "16 bytes a parameter, with which the paper's column comes out."
        )
    if row["optimizer"] == "adam":
        return "6 bytes a parameter, for moments are bfloat16 too; in float32 they would be 12."
    return "The compiled step needs what the columns on the left say."


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

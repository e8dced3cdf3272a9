"""Memory of training by each kind of method: over model size, over length, and beyond parameters.

Read from programs that are compiled for an A100 without one.

    pip install ".[demo,plan]"
    python benchmarks/memory_figures.py
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record

from zojax import planning
from zojax.lm import models

METHODS = ("inference", "mezo", "zo_adamu", "forward_gradient", "sgd", "adam")
MODELS = ("opt-125m", "opt-1.3b", "opt-2.7b", "opt-6.7b", "opt-13b")
LENGTHS = (128, 256, 512, 1024, 2048)
HOW = "Bytes of arguments, results and temporaries of the compiled program. "
DEPTHS = (
    "Zeroth-order and forward-mode steps are compiled at 2 and 4 layers and continued in a line. "
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=("size", "length", "anchor"), help="one of the tables")
    only = parser.parse_args().only
    for name, table in {"size": over_size, "length": over_length, "anchor": anchor}.items():
        if only in (None, name):
            table()


def over_size() -> None:
    """The MeZO paper's Figure 3, with more methods."""
    rows = [
        _row({"model": model}, model, method, batch=1, length=400)
        for model in MODELS
        for method in METHODS
    ]
    _write(
        "memory_by_model",
        "Device memory over model size: bfloat16, 1×400 tokens, A100-80GB",
        rows,
        HOW + DEPTHS + "Activations of back-propagation are kept, not computed again.",
    )


def over_length() -> None:
    """Flat for forward passes, growing for back-propagation."""
    rows = [
        _row({"length": length}, "opt-1.3b", method, batch=4, length=length)
        for length in LENGTHS
        for method in METHODS
    ]
    _write(
        "memory_by_length",
        "Device memory over sequence length: OPT-1.3B, bfloat16, 4 sequences, A100-80GB",
        rows,
        HOW + DEPTHS + "The logits of all tokens are part of every method's memory.",
    )


def anchor() -> None:
    """RoBERTa-large, batch 16, beyond the parameters: Appendix D of the MeZO paper."""
    rows: list[dict[str, Any]] = []
    for method in ("inference", "mezo", "forward_gradient", "sgd"):
        plan = _plan("roberta-large", method, batch=16, length=256, dtype="float32")
        rows.append(
            {
                "method": method,
                "beyond the parameters, MB": round((plan.total_bytes - plan.parameter_bytes) / 1e6),
            }
        )
    for row in rows:
        row["÷ inference"] = round(
            row["beyond the parameters, MB"] / rows[0]["beyond the parameters, MB"], 2
        )
    _write(
        "memory_anchor",
        "Device memory beyond the parameters: RoBERTa-large, float32, 16×256 tokens, A100-80GB",
        rows,
        HOW + DEPTHS + "The MeZO paper's Appendix D has, for its JAX code at batch 16 on MultiRC, "
        "327.5 MB for inference and MeZO, 830.7 MB for JVP and 24,156 MB for back-propagation, "
        "with the loss at one token; here it is over all tokens.",
    )


def _row(
    first: dict[str, Any], model: str, method: str, *, batch: int, length: int
) -> dict[str, Any]:
    plan = _plan(model, method, batch=batch, length=length, dtype="bfloat16")
    return {
        **first,
        "method": method,
        "memory, GB": round(plan.total_bytes / 1e9, 3),
        "÷ parameters": round(plan.total_bytes / plan.parameter_bytes, 3),
    }


def _plan(model: str, method: str, dtype: str = "bfloat16", **settings: Any) -> planning.Plan:
    work = models.workload(model, dtype=dtype, **settings)
    plan = planning.plan(work, method, "a100-80gb")
    gigabytes = plan.total_bytes / 1e9
    print(f"{model} {method} {settings}: {gigabytes:.3f} GB", file=sys.stderr, flush=True)
    return plan


def _write(name: str, title: str, rows: list[dict[str, Any]], caption: str) -> None:
    print(f"written: {_record.write(name, title, rows, caption)}")


if __name__ == "__main__":
    main()

"""Memory of what zojax is compared with: MeZO on a perturbed copy, and Adam with LoRA.

The models, the batch and the device are those of ``memory_figures.py --only size``. Read from
programs that are compiled for an A100 without one.

    pip install ".[demo,plan]"
    python benchmarks/memory_other_ways.py
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record
from memory_figures import MODELS

import zojax
from zojax import planning
from zojax.lm import models
from zojax.lm.adapters import LoRA

DEVICE = "a100-80gb"
RANK = 8
SHAPE = dict(batch=1, length=400, dtype="bfloat16")


def copied(model: str) -> int:
    """Bytes of a step of MeZO that evaluates its loss on a perturbed copy, compiled whole."""
    tx = zojax.mezo(1e-6, eps=1e-3, key=0, evaluation="copy")
    program = planning.compile_step(DEVICE, models.workload(model, **SHAPE), tx)
    return planning.memory(program).device


def adam_with_lora(model: str) -> int:
    """Bytes of a step of Adam by back-propagation on a LoRA beside the frozen model."""
    work = models.workload(model, **SHAPE, adapter=LoRA(rank=RANK))
    return planning.plan(work, "adam", DEVICE).total_bytes


METHODS = {"mezo, a perturbed copy": copied, f"adam, LoRA of rank {RANK}": adam_with_lora}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    rows: list[dict[str, Any]] = []
    for model in parser.parse_args().models:
        size = models.workload(model, **SHAPE).size
        for method, measure in METHODS.items():
            total = measure(model)
            print(f"{model} {method}: {total / 1e9:.3f} GB", file=sys.stderr, flush=True)
            rows.append(
                {
                    "model": model,
                    "method": method,
                    "memory, GB": round(total / 1e9, 3),
                    "÷ parameters": round(total / (2 * size), 3),
                }
            )
    path = _record.write(
        "memory_other_ways",
        "Device memory of other ways: bfloat16, 1×400 tokens, A100-80GB",
        rows,
        "Bytes of arguments, results and temporaries of the compiled program, compiled whole. "
        "The copy is jax.tree.map's, θ + εz of all parameters at once. Activations of "
        "back-propagation are kept, not computed again; the LoRA is float32, on queries and "
        "values. No card has run them.",
    )
    print(f"written: {path}")


if __name__ == "__main__":
    main()

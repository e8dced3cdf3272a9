"""Memory of a step of today's decoders, all layers of them, over that of their forward pass.

Shapes of published models, compiled for this machine's CPU, for an A100 and for a TPU v5e that are
not there; nothing is allocated or run.

    pip install ".[demo,plan]"
    python benchmarks/decoder_memory.py
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.append(str(Path(__file__).parents[1] / "tests"))

import _record
import jax
import jax.numpy as jnp
from decoders import workload

import zojax
from zojax import planning

NAME = "decoder_memory"
# Batch and length on each.
DEVICES = {"cpu": (4, 64), "a100-80gb": (8, 256), "tpu-v5e": (8, 256)}
LAYERS = {"qwen3-0.6b": 28, "gemma-3-1b": 26, "llama-3.2-1b": 16}
FLOAT, HALF = jnp.float32, jnp.bfloat16
MEZO = zojax.mezo(1e-6, eps=1e-3, key=0)
LORA = zojax.select(MEZO, "adapter/*")
STEPS: dict[str, tuple[Any, dict[str, Any]]] = {
    "MeZO, bfloat16": (MEZO, dict(dtype=HALF)),
    "MeZO, float32 kept, bfloat16 computed": (MEZO, dict(dtype=HALF, param_dtype=FLOAT)),
    "LoRA, bfloat16 base": (LORA, dict(dtype=HALF, lora=True)),
    "LoRA, float32 base": (LORA, dict(dtype=FLOAT, lora=True)),
    "LoRA, float32 base, bfloat16 computed": (
        LORA,
        dict(dtype=HALF, param_dtype=FLOAT, lora=True),
    ),
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n", 1)[0]).parse_args()
    rows: list[dict[str, Any]] = []
    for device, (batch, length) in DEVICES.items():
        for model, layers in LAYERS.items():
            for step, (optimizer, options) in STEPS.items():
                jax.clear_caches()
                work = workload(model, batch=batch, length=length, layers=layers, **options)
                row = {"device": device, "model": model, "layers": layers, "step": step}
                rows.append({**row, **measured(device, work, optimizer)})
                print(rows[-1], flush=True)
                _record.write(
                    NAME,
                    "Today's decoders, whole: the memory of a step and of a forward pass",
                    rows,
                    "Scanned layers, cross entropy over all tokens: 4×64 on the CPU, 8×256 on the "
                    "others. LoRA tunes MeZO's way what it adds to the queries and values. Device "
                    "memory is of arguments, results and temporaries, read from the compiled "
                    "programs, which no device has run.",
                )


def measured(device: str, work: planning.Workload, optimizer: Any) -> dict[str, Any]:
    """The memory of both programs."""
    forward = planning.memory(planning.compile_forward(device, work))
    step = planning.memory(planning.compile_step(device, work, optimizer))
    return {
        "forward pass, MB": round(forward.device / 1e6),
        "step / forward pass": round(step.device / forward.device, 4),
        "temporaries of the forward pass, MB": round(forward.temp / 1e6, 1),
        "temporaries of the step, MB": round(step.temp / 1e6, 1),
        "temporaries of the step / of the forward pass": round(step.temp / forward.temp, 4),
    }


if __name__ == "__main__":
    main()

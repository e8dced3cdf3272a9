"""Memory and compile time of a step of today's decoders, over those of their forward pass.

Decoders of plain JAX, their layers scanned, at the shapes of published models; compiled for this
machine's CPU, for an A100 and for a TPU v5e that are not there.

    pip install ".[plan]"
    python benchmarks/decoder_memory.py --devices cpu a100-80gb
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
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
DEVICES = ("cpu", "a100-80gb", "tpu-v5e")
MODELS = {"qwen3-0.6b": 28, "gemma3-1b": 26, "llama3.2-1b": 16}
MEZO = zojax.mezo(1e-6, eps=1e-3, key=0)
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "mezo, bfloat16": (MEZO, dict(dtype=jnp.bfloat16)),
    "mezo, bfloat16, last token": (MEZO, dict(dtype=jnp.bfloat16, last=True)),
    "mezo, float32 kept, bfloat16 computed": (MEZO, dict(dtype=jnp.float32, compute=jnp.bfloat16)),
    "zo_adamu, bfloat16": (zojax.zo_adamu(1e-4, eps=1e-3, key=0), dict(dtype=jnp.bfloat16)),
    "LoRA, bfloat16 base": (zojax.select(MEZO, "lora/*"), dict(dtype=jnp.bfloat16, lora=True)),
    "LoRA, float32 base": (zojax.select(MEZO, "lora/*"), dict(dtype=jnp.float32, lora=True)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=DEVICES)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    args = parser.parse_args()
    recorded = _record.RESULTS / f"{NAME}.json"
    kept = json.loads(recorded.read_text(encoding="utf-8"))["rows"] if recorded.is_file() else []
    rows = {(row["device"], row["model"], row["step"]): row for row in kept}
    for device in args.devices:
        for model in args.models:
            for kind in args.kinds:
                row = measured(device, model, kind)
                print(row, flush=True)
                rows[device, row["model"], kind] = row
    path = _record.write(
        NAME,
        "Decoders of today: a step and a forward pass",
        list(rows.values()),
        "Scanned layers in plain JAX, tied heads, cross entropy over all tokens but where it says "
        "last token; compiled and not run. Device memory is of arguments, results and temporaries, "
        "of zo_adamu without its momentum. Compile times are of processor time, tracing included.",
    )
    print(f"written: {path}")


def measured(device: str, model: str, kind: str) -> dict[str, Any]:
    """One row of the table."""
    optimizer, options = KINDS[kind]
    batch, length = (4, 64) if device == "cpu" else (8, 256)
    layers = MODELS[model]
    work = workload(model, batch=batch, length=length, layers=layers, **options)
    _compiled(planning.compile_forward, device, work)  # the first has more to load
    forward, forward_seconds = _compiled(planning.compile_forward, device, work)
    step, seconds = _compiled(planning.compile_step, device, work, optimizer)
    momentum = work.nbytes if kind.startswith("zo_adamu") else 0
    return {
        "device": device,
        "model": f"{model}, {layers} layers, {batch}×{length}",
        "step": kind,
        "forward pass, MB": round(forward.device / 1e6),
        "step ÷ forward pass": round((step.device - momentum) / forward.device, 3),
        "temporaries, forward pass, MB": round(forward.temp / 1e6, 1),
        "temporaries, step, MB": round(step.temp / 1e6, 1),
        "compile time ÷ forward pass's": round(seconds / forward_seconds, 1),
    }


def _compiled(compile_: Any, *args: Any) -> tuple[planning.Memory, float]:
    jax.clear_caches()
    start = time.process_time()
    program = compile_(*args)
    return planning.memory(program), time.process_time() - start


if __name__ == "__main__":
    main()

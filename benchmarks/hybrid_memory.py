"""Memory of a hybrid step over that of full back-propagation, by the number of layers it tunes.

Read from programs that are compiled for an A100 without one.

    pip install ".[demo,plan]"
    python benchmarks/hybrid_memory.py
"""

from __future__ import annotations

import os
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record
import jax
import jax.numpy as jnp
import optax

import zojax
from zojax import planning
from zojax.lm import models

DEVICE = "a100-80gb"
MODEL, DTYPE, BATCH, LENGTH = "opt-1.3b", jnp.bfloat16, 16, 512
SPLITS = (8, 16)


def main() -> None:
    # The split is between layers, which need a leaf each.
    work = models.workload(MODEL, batch=BATCH, length=LENGTH, dtype=DTYPE, scan_layers=False)
    forward = planning.memory(planning.compile_forward(DEVICE, work)).device
    first_order = optax.sgd(1e-3)
    full = _device(work, _backward(first_order))
    programs: list[tuple[str, int]] = [("back-propagation, SGD", full)]
    for split in SPLITS:
        tx = zojax.hybrid(zojax.mezo(1e-6, eps=1e-3, key=0), first_order, split)
        programs.append((f"hybrid, {split} of 24 layers by MeZO", _device(work, tx)))
    programs.append(("MeZO", _device(work, zojax.mezo(1e-6, eps=1e-3, key=0))))
    programs.append(("forward pass", forward))
    rows: list[dict[str, Any]] = [
        {
            "program": name,
            "memory, MB": round(device / 1e6),
            "÷ back-propagation": round(device / full, 3),
        }
        for name, device in programs
    ]
    for row in rows:
        print(row, flush=True)
    path = _record.write(
        "hybrid_memory",
        f"Device memory of a hybrid step: {MODEL}, {jnp.dtype(DTYPE).name}, {BATCH}×{LENGTH}, "
        f"{DEVICE}",
        rows,
        "Bytes of arguments, results and temporaries of the compiled program, tokens included. "
        "Back-propagation keeps all activations of its part: no rematerialisation.",
    )
    print(f"written: {path}")


def _backward(
    tx: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """The first-order optimizer, called as a zeroth-order one is."""

    def update(
        updates: Any, state: Any, params: Any, *, value_fn: Any, **extra_args: Any
    ) -> tuple[Any, Any]:
        del updates, extra_args
        return tx.update(jax.grad(value_fn)(params), state, params)

    return optax.GradientTransformationExtraArgs(tx.init, update)


def _device(work: planning.Workload, tx: optax.GradientTransformationExtraArgs) -> int:
    return planning.memory(planning.compile_step(DEVICE, work, tx)).device


if __name__ == "__main__":
    main()

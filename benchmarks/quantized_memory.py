"""Memory of steps over integers: OPT-13B on an A100 without one, and the largest OPT on two cards.

Every answer is read from compiled programs: no card is needed, and no weights. A file is written
after each row, so that an interrupted run keeps what it has.

    pip install ".[demo,plan]"
    python benchmarks/quantized_memory.py
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

# Nothing runs on an accelerator here, and a machine may have none.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _record
import jax.numpy as jnp
import optax

import zojax
from zojax import planning, quantized
from zojax.lm import adapters, models

DEVICE = "a100-80gb"
MODEL, BATCH, LENGTH = "opt-13b", 1, 2048
CARDS = ("a100-80gb", "rtx-4090-24gb")
OPT = models.OPT_MODELS
TOKENS = {"batch": 1, "length": 400}
RANK, LORA = 16, 8
TUNED = ("a subspace", "a LoRA", "scales")
KINDS: tuple[quantized.Bits | None, ...] = (None, "int8", "int4")


def transformation(work: planning.Workload, tuned: str) -> optax.GradientTransformationExtraArgs:
    settings: dict[str, Any] = dict(learning_rate=1e-6, eps=1e-3, key=0)
    if tuned == "scales":
        rule = zojax.slope_rules.clip(100.0)
        mezo = zojax.mezo(**settings, slope_rule=rule)
        return zojax.select(mezo, quantized.scales(work.params))
    inner = zojax.zo_adamu(**settings)
    if tuned == "a LoRA":
        return zojax.select(inner, "adapter/*")
    refresh = None if quantized.any_quantized(work.params) else 50
    return zojax.subspace(inner, rank=RANK, refresh=refresh, key=0, in_update=False)


def main() -> None:
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        make = partial(
            models.workload, MODEL, batch=BATCH, length=LENGTH, dtype=jnp.bfloat16, quantize=kind
        )
        plain = make()
        forward = planning.memory(planning.compile_forward(DEVICE, plain)).device
        for tuned in TUNED if kind else TUNED[:2]:
            work = make(adapter=adapters.LoRA(rank=LORA)) if tuned == "a LoRA" else plain
            compiled = planning.compile_step(DEVICE, work, transformation(work, tuned))
            step = planning.memory(compiled).device
            rows.append(
                {
                    "weights": kind or "bfloat16",
                    "tuned": tuned,
                    "parameters, GB": round(plain.nbytes / 1e9, 2),
                    "a forward pass, GB": round(forward / 1e9, 2),
                    "a step, GB": round(step / 1e9, 2),
                    "÷ the forward pass": round(step / forward, 4),
                }
            )
            print(rows[-1], flush=True)
            _write_memory(rows)
    largest: list[dict[str, Any]] = []
    for card in CARDS:
        for kind in (None, "int4"):
            for tuned in TUNED[:2] if kind is None else TUNED:
                largest.append(_largest(card, kind, tuned))
                print(largest[-1], flush=True)
                _write_largest(largest)


def _largest(card: str, kind: quantized.Bits | None, tuned: str) -> dict[str, Any]:
    adapter = adapters.LoRA(rank=LORA) if tuned == "a LoRA" else None
    settings: dict[str, Any] = dict(**TOKENS, dtype="bfloat16", quantize=kind, adapter=adapter)
    found = planning.largest(
        [partial(models.workload, name, **settings) for name in OPT],
        "mezo" if tuned == "scales" else "zo_adamu",
        card,
        subspace_rank=RANK if tuned == "a subspace" else None,
    )
    return {
        "card": card,
        "weights": kind or "bfloat16",
        "tuned": tuned,
        "largest OPT": _size(found.model),
        "needs, GB": _needs(found.plan),
        "next OPT": _size(found.next_model),
        "would need, GB": _needs(found.next_plan),
        "card, GB": round(planning.TABLE[card].memory / 1e9, 1),
    }


def _size(model: str | None) -> str | None:
    return model.removeprefix("opt-").upper() if model else None


def _needs(plan: planning.Plan | None) -> float | None:
    return round(plan.total_bytes / 1e9, 1) if plan else None


def _write_memory(rows: list[dict[str, Any]]) -> None:
    _record.write(
        "quantized_memory",
        f"Steps over integers: {MODEL}, {BATCH}×{LENGTH}, compiled for {DEVICE}",
        rows,
        f"The matrices of the layers are integers with a bfloat16 scale for 64 weights; the rest "
        f"is bfloat16. A subspace of rank {RANK} and a LoRA of rank {LORA} by zo_adamu, scales by "
        "mezo. Buffers of the compiled programs; a run needs some hundred MB besides. No card has "
        "run it.",
    )


def _write_largest(rows: list[dict[str, Any]]) -> None:
    path = _record.write(
        "quantized_largest",
        "The largest OPT that one card tunes, over integers",
        rows,
        "One sequence of 400 tokens, as in the MeZO paper's table. The next OPT has no figure "
        "where its parameters and state alone exceed the card. Compiled at 2 and 4 layers and "
        "continued in a line. Buffers of the compiled programs; a run needs some hundred MB "
        "besides. No card has run it.",
    )
    print(f"written: {path}", flush=True)


if __name__ == "__main__":
    main()

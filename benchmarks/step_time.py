"""Time of a training step over that of its two forward passes, on this machine's CPU.

The PyTorch side is MeZO's Algorithm 1 (arXiv:2305.17333) on the same architecture, batch and number
of threads: perturb in place from a seed, forward, perturb back, forward, restore, update.

    pip install ".[demo]" torch
    python benchmarks/step_time.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import _record
import jax
import jax.numpy as jnp
import optax
import torch
import transformers

import zojax
from zojax.lm import models

MODEL, BATCH, LENGTH = "opt-125m", 16, 64
RATE, EPS = 1e-6, 1e-3
OPTIMIZERS = {
    "mezo, Rademacher": zojax.mezo(RATE, eps=EPS, key=0, direction=zojax.Rademacher()),
    "mezo, Gaussian": zojax.mezo(RATE, eps=EPS, key=0),
    "mezo, low rank 1": zojax.mezo(RATE, eps=EPS, key=0, direction=zojax.LowRank()),
    "mezo, low rank 1, batched": zojax.mezo(
        RATE, eps=EPS, key=0, direction=zojax.LowRank(), batched=True
    ),
    "zo_adamu, Rademacher": zojax.zo_adamu(RATE, eps=EPS, key=0, direction=zojax.Rademacher()),
    "zo_adamu, Gaussian": zojax.zo_adamu(RATE, eps=EPS, key=0),
}
FORWARD, TORCH_FORWARD, TORCH = "forward pass", "PyTorch forward pass", "PyTorch MeZO, Gaussian"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    runs = _zojax_runs() | _torch_runs()
    for run in runs.values():
        run()  # compile, and warm the caches
    times: dict[str, list[float]] = {name: [] for name in runs}
    # All take turns, so that what else the machine does meets each alike.
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    own = {TORCH_FORWARD: TORCH_FORWARD, TORCH: TORCH_FORWARD}
    rows = [
        {
            "what": name,
            "seconds": round(median[name], 3),
            "over its 2 forward passes": None
            if "forward" in name
            else round(_ratio(times[name], times[own.get(name, FORWARD)]) / 2, 3),
            "steps per second over PyTorch's": None
            if "forward" in name
            else round(_ratio(times[TORCH], times[name]), 2),
        }
        for name in runs
    ]
    path = _record.write(
        "step_time",
        f"Step time on CPU: {MODEL}, float32, {BATCH}×{LENGTH} tokens",
        rows,
        f"Medians of {rounds} rounds, all within one process, by turns; the ratios are medians of "
        f"those within a round. The loss is the language model's over all tokens. "
        f"PyTorch runs with {torch.get_num_threads()} threads.",
    )
    print(f"written: {path}")


def _zojax_runs() -> dict[str, Callable[[], None]]:
    work = models.workload(MODEL, batch=BATCH, length=LENGTH)
    params = jax.tree.map(lambda leaf: 0.02 * jnp.ones(leaf.shape, leaf.dtype), work.params)
    leaves, tree = jax.tree.flatten(params)
    params = jax.tree.unflatten(
        tree,
        [x * jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(leaves)],
    )
    tokens = jax.random.randint(jax.random.key(0), (BATCH, LENGTH), 4, 50_000)
    forward = jax.jit(work.loss, compiler_options=zojax.compiler_options())
    runs: dict[str, Callable[[], None]] = {
        FORWARD: lambda: forward(params, tokens).block_until_ready(),
    }

    def stepping(tx: optax.GradientTransformationExtraArgs) -> Callable[[], None]:
        def step(params: Any, state: Any) -> tuple[Any, Any]:
            updates, state = tx.update(None, state, params, value_fn=lambda p: work.loss(p, tokens))
            return optax.apply_updates(params, updates), state

        jitted = jax.jit(step, donate_argnums=(0, 1), compiler_options=zojax.compiler_options())
        now = (jax.tree.map(jnp.copy, params), jax.jit(tx.init)(params))

        def run() -> None:
            nonlocal now
            now = jax.block_until_ready(jitted(*now))

        return run

    return runs | {name: stepping(tx) for name, tx in OPTIMIZERS.items()}


def _torch_runs() -> dict[str, Callable[[], None]]:
    torch.manual_seed(0)
    model = transformers.OPTForCausalLM(transformers.OPTConfig()).eval()
    tokens = torch.randint(4, 50_000, (BATCH, LENGTH))
    parameters = list(model.parameters())
    seed = 0

    @torch.inference_mode()
    def loss() -> float:
        logits = model(input_ids=tokens).logits[:, :-1].reshape(-1, model.config.vocab_size)
        return torch.nn.functional.cross_entropy(logits, tokens[:, 1:].reshape(-1)).item()

    @torch.inference_mode()
    def add(scale: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in parameters:
            z = torch.normal(0.0, 1.0, parameter.shape, generator=generator)
            parameter.add_(z, alpha=scale)

    def step() -> None:
        nonlocal seed
        add(EPS)
        plus = loss()
        add(-2 * EPS)
        minus = loss()
        add(EPS)
        add(-RATE * (plus - minus) / (2 * EPS))
        seed += 1

    return {TORCH_FORWARD: lambda: void(loss()), TORCH: step}


def _ratio(times: list[float], others: list[float]) -> float:
    """The median of the ratios within a round: what slows a round slows both."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def void(_: float) -> None:
    """Drop a value."""


if __name__ == "__main__":
    main()

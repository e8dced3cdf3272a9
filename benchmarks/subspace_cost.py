"""What a subspace costs: memory on an A100 without one, time and compile time on this machine.

pip install ".[demo,plan]"
python benchmarks/subspace_cost.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from functools import partial
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
MODELS = (("opt-1.3b", 8, 256), ("opt-13b", 1, 2048))
RANKS = (16, 64)
TIMED = ("opt-125m", 16, 64)
REFRESH = 50


def inner(name: str) -> optax.GradientTransformationExtraArgs:
    settings: dict[str, Any] = dict(learning_rate=1e-6, eps=1e-3, key=0)
    return zojax.mezo(**settings) if name == "mezo" else zojax.zo_adamu(**settings)


def in_subspace(name: str, rank: int, **settings: Any) -> optax.GradientTransformationExtraArgs:
    return zojax.subspace(inner(name), rank=rank, refresh=REFRESH, key=0, **settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    rows = [row for model in MODELS for row in _memory(*model)]
    path = _record.write(
        "subspace_memory",
        f"A step in a subspace, bfloat16, compiled for {DEVICE}: memory over a forward pass",
        rows,
        "Folded outside: by zojax.fold between two steps, which has a few MB of its own. No card "
        "has run it.",
    )
    print(f"written: {path}")
    path = _record.write(
        "subspace_time",
        f"A step in a subspace on CPU: {TIMED[0]}, float32, {TIMED[1]}×{TIMED[2]} tokens",
        _times(rounds),
        f"Medians of {rounds} rounds, by turns; ratios are medians of those within a round. A fold "
        f"is due once in {REFRESH} steps here, and is not part of a step that it follows.",
    )
    print(f"written: {path}")


def _memory(model: str, batch: int, length: int) -> list[dict[str, Any]]:
    work = models.workload(model, batch=batch, length=length, dtype=jnp.bfloat16)
    forward = planning.memory(planning.compile_forward(DEVICE, work)).device
    cases: dict[str, optax.GradientTransformationExtraArgs] = {"mezo": inner("mezo")}
    for rank in RANKS:
        for name in ("mezo", "zo_adamu"):
            cases[f"subspace({name}), r {rank}, folded outside"] = in_subspace(
                name, rank, in_update=False
            )
        if rank <= 32:
            cases[f"subspace(zo_adamu), r {rank}, folded in the update"] = in_subspace(
                "zo_adamu", rank
            )
    rows: list[dict[str, Any]] = []
    for name, tx in cases.items():
        step = planning.memory(planning.compile_step(DEVICE, work, tx)).device
        state = sum(_nbytes(x) for x in jax.tree.leaves(jax.eval_shape(tx.init, work.params)))
        rows.append(
            {
                "model": f"{model}, {batch}×{length}",
                "step": name,
                "÷ the forward pass": round(step / forward, 4),
                "GB": round(step / 1e9, 2),
                "state, MB": round(state / 1e6, 1),
            }
        )
        print(rows[-1], flush=True)
    return rows


def _nbytes(x: Any) -> int:
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return 8 if is_key else x.size * x.dtype.itemsize


def _times(rounds: int) -> list[dict[str, Any]]:
    model, batch, length = TIMED
    work = models.workload(model, batch=batch, length=length)
    leaves, tree = jax.tree.flatten(work.params)
    params = tree.unflatten(
        [0.02 * jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(leaves)]
    )
    tokens = jax.random.randint(jax.random.key(0), (batch, length), 4, 50_000)
    options = zojax.compiler_options()
    forward = jax.jit(work.loss, compiler_options=options).lower(params, tokens).compile()

    def two_forward_passes() -> None:
        for _ in range(2):
            jax.block_until_ready(forward(params, tokens))

    cases = {
        "mezo": inner("mezo"),
        "subspace(mezo), r 16, folded outside": in_subspace("mezo", 16, in_update=False),
        "subspace(zo_adamu), r 16, folded outside": in_subspace("zo_adamu", 16, in_update=False),
        "subspace(mezo), r 16, folded in the update": in_subspace("mezo", 16),
        "subspace(zo_adamu), r 16, folded in the update": in_subspace("zo_adamu", 16),
    }
    compiled: dict[str, float] = {}
    programs: dict[str, Any] = {"two forward passes": two_forward_passes}
    states: dict[str, list[Any]] = {}
    for name, tx in cases.items():

        @partial(jax.jit, donate_argnums=(0, 1), compiler_options=options)
        def step(params: Any, state: Any, tokens: Any, tx: Any = tx) -> Any:
            updates, state = tx.update(None, state, params, value_fn=lambda p: work.loss(p, tokens))
            return optax.apply_updates(params, updates), state

        state, start = tx.init(params), time.perf_counter()
        program = step.lower(params, state, tokens).compile()
        compiled[name] = time.perf_counter() - start
        states[name] = [jax.tree.map(jnp.copy, params), state]

        def one(name: str = name, program: Any = program) -> None:
            states[name][:] = program(*states[name], tokens)
            jax.block_until_ready(states[name])

        programs[name] = one

    folded = "subspace(mezo), r 16, folded outside"

    def fold() -> None:
        jax.block_until_ready(zojax.folded(*states[folded]))

    programs["folded, a copy"] = fold
    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, call in programs.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - start)
    plain = times["two forward passes"]
    return [
        {
            "what": name,
            "seconds": round(statistics.median(found), 3),
            "÷ two forward passes": round(
                statistics.median(a / b for a, b in zip(found, plain, strict=True)), 3
            ),
            "to compile, ÷ mezo": round(compiled[name] / compiled["mezo"], 2)
            if name in compiled
            else None,
        }
        for name, found in times.items()
    ]


if __name__ == "__main__":
    main()

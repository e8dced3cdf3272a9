"""Losses along eight directions of low rank in one pass, beside one forward pass of as many tokens.

pip install ".[demo]"
python benchmarks/batched_queries.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import _record
import jax
import jax.numpy as jnp

import zojax
from zojax import planning
from zojax.lm import models
from zojax.streaming import Objective

MODEL, BATCH, LENGTH, QUERIES = "opt-125m", 2, 64, 8
POINTS = 2 * QUERIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    work = models.workload(MODEL, batch=BATCH, length=LENGTH)
    leaves, tree = jax.tree.flatten(work.params)
    params = jax.tree.unflatten(
        tree,
        [0.02 * jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(leaves)],
    )
    tokens = jax.random.randint(jax.random.key(0), (POINTS * BATCH, LENGTH), 4, 50_000)

    def losses(params: Any, direction: zojax.Direction, batched: bool) -> jax.Array:
        objective = Objective("benchmark", lambda p: work.loss(p, tokens[:BATCH]), params)
        loss = objective.at("streamed")
        draws, _ = direction.at_step((), jax.random.key(0), jnp.int32(0), QUERIES, params)
        points, scales = draws.repeated(2), jnp.tile(jnp.array([1e-3, -1e-3]), QUERIES)
        return objective.losses_at(
            lambda i: loss(points.query(i), scales[i]), POINTS, "streamed", batched=batched
        )[0]

    inner = zojax.mezo(1e-6, eps=1e-3, key=0, num_queries=QUERIES, batched=True)
    subspace = zojax.subspace(inner, rank=16, refresh=None, key=0)
    state = subspace.init(params)

    def losses_in_subspace(params: Any) -> jax.Array:
        value_fn = lambda p: work.loss(p, tokens[:BATCH])  # noqa: E731
        return zojax.last_loss(subspace.update(None, state, params, value_fn=value_fn)[1])

    functions = {
        f"forward pass, {POINTS * BATCH}×{LENGTH}": lambda p: work.loss(p, tokens),
        f"{POINTS} losses, rank 1, one pass": lambda p: losses(p, zojax.LowRank(), True),
        f"{POINTS} losses, rank 4, one pass": lambda p: losses(p, zojax.LowRank(4), True),
        f"{POINTS} losses, subspace of rank 16, one pass": losses_in_subspace,
        f"{POINTS} losses, rank 1, one by one": lambda p: losses(p, zojax.LowRank(), False),
        f"{POINTS} losses, Gaussian, one by one": lambda p: losses(p, zojax.Gaussian(), False),
    }
    compiled = {
        name: jax.jit(function, compiler_options=zojax.compiler_options()).lower(params).compile()
        for name, function in functions.items()
    }
    times: dict[str, list[float]] = {name: [] for name in compiled}
    for program in compiled.values():
        jax.block_until_ready(program(params))
    # All take turns, so that what else the machine does meets each alike.
    for _ in range(rounds):
        for name, program in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(program(params))
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    memory = {name: planning.memory(program).temp for name, program in compiled.items()}
    plain = next(iter(compiled))
    rows = [
        {
            "what": name,
            "seconds": round(median[name], 3),
            "÷ the forward pass": round(_ratio(times[name], times[plain]), 3),
            "temporary memory, MB": round(memory[name] / 1e6),
            "of it ÷ the forward pass": round(memory[name] / memory[plain], 3),
        }
        for name in compiled
    ]
    path = _record.write(
        "batched_queries",
        f"{QUERIES} queries on CPU: {MODEL}, float32, {BATCH}×{LENGTH} tokens a point",
        rows,
        f"Medians of {rounds} rounds, all within one process, by turns; the ratios are medians of "
        f"those within a round. The loss is the language model's over all tokens. In one pass the "
        "points share the products with the weights, so that 1 is the floor: as many tokens meet "
        "each weight as in the forward pass. On top come a point's thin products and perturbed "
        "rows.",
    )
    print(f"written: {path}")


def _ratio(times: list[float], others: list[float]) -> float:
    """The median of the ratios within a round: what slows a round slows both."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


if __name__ == "__main__":
    main()

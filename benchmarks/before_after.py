"""A step before and after a change of the library: memory to the byte, compile time, step time.

    git worktree add ../before COMMIT
    python benchmarks/before_after.py --before ../before

runs the same steps with either tree in turn, each time in a fresh process, and writes
benchmarks/results/before_after.json. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from _record import write

MODEL, BATCH, LENGTH = "opt-125m", 4, 64
# What both trees understand. A step's time is that of a few of the model's layers.
PROGRAM = """
import json, sys, time, statistics
import jax, jax.numpy as jnp, optax, zojax
from zojax import planning

model, batch, length, layers, steps = json.loads(sys.argv[1])
if hasattr(planning, "workload"):
    workload = planning.workload
else:
    from zojax.lm.models import workload

rates = dict(eps=1e-3, key=0)
OPTIMIZERS = {
    "mezo": lambda: zojax.mezo(1e-6, **rates),
    "mezo, random signs": lambda: zojax.mezo(1e-6, **rates, direction=zojax.Rademacher()),
    "mezo, 4 queries": lambda: zojax.mezo(1e-6, **rates, num_queries=4),
    "mezo, 4 queries of rank 1, batched": lambda: zojax.mezo(
        1e-6, **rates, num_queries=4, direction=zojax.LowRank(), batched=True
    ),
    "zo_adamu": lambda: zojax.zo_adamu(1e-4, **rates),
    "zo_adam": lambda: zojax.zo_adam(1e-6, **rates),
    "zo_sgd_conservative": lambda: zojax.zo_sgd_conservative(1e-6, **rates),
    "zo_sgd_blockwise": lambda: zojax.zo_sgd_blockwise(1e-6, **rates),
}
work = workload(model, batch=batch, length=length, layers=layers)
found = {}
for name, make in OPTIMIZERS.items():
    jax.clear_caches()
    tx = make()
    start = time.perf_counter()
    compiled = planning.compile_step("cpu", work, tx)
    seconds = time.perf_counter() - start
    params = jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), work.params)
    state = tx.init(params)
    tokens = jnp.ones((batch, length), jnp.int32)
    times = []
    for _ in range(steps + 1):
        begun = time.perf_counter()
        params, state = jax.block_until_ready(compiled(params, state, tokens))
        times.append(time.perf_counter() - begun)
    found[name] = [planning.memory(compiled).device, seconds, statistics.median(times[1:])]
print(json.dumps(found))
"""


def measured(tree: Path, *given: Any) -> dict[str, list[float]]:
    """Bytes, seconds to compile and seconds of a step, by optimizer."""
    env = {**os.environ, "PYTHONPATH": str(tree), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(given)]
    done = subprocess.run(command, env=env, cwd=tree, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--before", type=Path, required=True, help="a tree of the older commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="timed in each round")
    parser.add_argument("--layers", type=int, default=4)
    args = parser.parse_args()
    trees = {"before": args.before.resolve(), "after": Path(__file__).resolve().parents[1]}
    runs: dict[str, list[dict[str, list[float]]]] = {"before": [], "after": []}
    for number in range(args.rounds):
        # The order is turned round each time, so that what the machine does meets both alike.
        for name in sorted(trees, reverse=bool(number % 2)):
            given = (MODEL, BATCH, LENGTH, args.layers, args.steps)
            runs[name].append(measured(trees[name], *given))
            print(f"round {number + 1}, {name}", file=sys.stderr, flush=True)

    def median(tree: str, optimizer: str, which: int) -> float:
        return statistics.median(run[optimizer][which] for run in runs[tree])

    rows = [
        {
            "optimizer": optimizer,
            "bytes before": int(median("before", optimizer, 0)),
            "bytes after": int(median("after", optimizer, 0)),
            "compile time, after ÷ before": round(
                median("after", optimizer, 1) / median("before", optimizer, 1), 3
            ),
            "step time, after ÷ before": round(
                median("after", optimizer, 2) / median("before", optimizer, 2), 3
            ),
        }
        for optimizer in runs["after"][0]
    ]
    commit = ["git", "-C", str(trees["before"]), "rev-parse", "--short", "HEAD"]
    before = subprocess.check_output(commit, text=True).strip()
    path = write(
        "before_after",
        "A step before and after",
        rows,
        f"{MODEL} of {args.layers} layers, float32, {BATCH}×{LENGTH} tokens, on this machine's "
        f"CPU; medians of {args.rounds} fresh processes of either, in turn. Before: commit {before}.",
    )
    print(f"written: {path}")


if __name__ == "__main__":
    main()

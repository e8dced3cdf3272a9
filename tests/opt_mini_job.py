"""A few steps of opt-mini, in one process or in one of several that this is started as."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zojax.lm.processes import Spread, join
from zojax.lm.training import (
    CompiledByShape,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    load_data,
    load_to_tune,
    make_optimizer,
    make_step,
    prepare,
    resolve,
)

# 4 losses a step; 6 examples, which 4 processes do not divide, and at this rate a wrong loss shows.
CONFIG = FinetuneConfig(
    optimizer="mezo",
    batch_size=6,
    data=DataConfig(train_size=24, dev_size=8, test_size=8, max_length=24, num_buckets=1),
    hyper=HyperParameters(learning_rate=1e-3, num_queries=2),
)
STEPS = 3


def train(spread: Spread) -> tuple[list[np.ndarray], list[float]]:
    """Parameters after the steps, and the steps' losses."""
    from zojax.lm.tasks import training_batches

    config = resolve(CONFIG)
    tuned = load_to_tune(config)
    data = load_data(prepare(config), tuned.model)
    optimizer = make_optimizer(config, tuned.model.params)
    step = CompiledByShape(
        spread.step(make_step(optimizer, data.task.loss)),
        "the step",
        lambda _: None,
        donate_argnums=(0, 1),
        place=spread.training_batch,
        out_shardings=spread.everywhere,
    )
    params: Any = spread.replicated(tuned.model.params)
    state = jax.jit(optimizer.tx.init, out_shardings=spread.everywhere)(params)
    batches = training_batches(data.train, data.lengths, config.batch_size, seed=0)
    losses: list[float] = []
    for _ in range(STEPS):
        params, state, outcome = step(params, state, next(batches))
        losses.append(float(outcome.loss))
    return jax.tree.leaves(spread.local(params)), losses


def main(folder: Path) -> None:
    """Train in both ways; write parameters, losses, and what this process alone can tell."""
    join()
    number = jax.process_index()
    report: dict[str, Any] = {"processes": jax.process_count()}
    for how in ("query", "data"):
        spread = Spread.of(how)
        leaves, losses = train(spread)
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in leaves))
        report[how] = {"losses": losses, "parameters": digest.hexdigest()}
        if number == 0:
            np.savez(folder / f"{how}.npz", *leaves)
    calls = iter(range(5))
    flag = Spread.of("data").agreed(lambda: 15 if next(calls) == 2 and number == 1 else 0)
    report["agreed"] = [flag() for _ in range(5)]
    (folder / f"{number}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

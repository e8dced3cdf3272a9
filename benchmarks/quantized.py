"""Weights in integers on the main job, beside float32: a subspace, a LoRA, and scales alone.

From the label words, at equal forward passes. Every finished run is a line of
``results/quantized_runs.jsonl``; run again, the script goes on from there. A fresh study begins
with that file deleted.

    pip install ".[demo]"
    python benchmarks/quantized.py
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from typing import Any, Literal

import _record
import _study
import jax

from zojax.lm.training import AdapterConfig, FinetuneConfig, HyperParameters

STEPS = 200
RANK = 16
RUNS = _record.RESULTS / "quantized_runs.jsonl"
KINDS: tuple[Literal["int8", "int4"] | None, ...] = (None, "int4", "int8")
METHODS: dict[str, dict[str, Any]] = {
    "subspace": {"hyper": HyperParameters(subspace_rank=RANK)},
    "LoRA": {"tuned": AdapterConfig("lora")},
    "scales": {"optimizer": "mezo"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        # Seed by seed, so that a study that is cut off has all ways.
        found = {
            (key, seed): _study.run(
                RUNS,
                {**_key(*key), "seed": seed},
                FinetuneConfig(seed=seed, steps=STEPS, quantize=key[1], **METHODS[key[0]]),
            )
            for seed in range(args.seeds)
            for key in itertools.product(METHODS, KINDS)
        }
    for key in itertools.product(METHODS, KINDS):
        runs = [found[key, seed] for seed in range(args.seeds)]
        rows.append({**_key(*key), **_scores(runs)})
    path = _record.write(
        "quantized",
        "Weights in integers on the main job: accuracy on 1,000 test sentences, in percent",
        rows,
        f"Mean ± standard error over {args.seeds} seeds, opt-mini, {STEPS} steps of 16 sentences "
        f"of Rotten Tomatoes from the label words, two forward passes a step; a subspace of rank "
        f"{RANK} and a LoRA of rank 8 by zo_adamu, scales and all parameters by mezo, at the "
        "default rates. The matrices of the layers are integers with a scale for 64 weights; "
        "embeddings, biases and norms stay float32. In float32 the subspace changes every 50 "
        "steps, over integers never.",
    )
    print(f"written: {path}")


def _key(method: str, kind: str | None) -> dict[str, str]:
    # Without integers there are no scales, and all parameters are tuned.
    name = "all parameters" if (method, kind) == ("scales", None) else method
    return {"way": name, "weights": kind or "float32"}


def _scores(runs: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {"at the start": "zero_shot", "last step": "tuned", "best step on dev": "best"}
    return {
        title: _study.mean_and_error([100 * run[key] for run in runs])
        for title, key in columns.items()
    }


if __name__ == "__main__":
    main()

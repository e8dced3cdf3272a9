"""Weights stored in bfloat16: how their updates are rounded, beside float32.

Every finished run is a line of ``results/rounding_runs.jsonl``; run again, the script goes on from
there. A fresh study begins with that file deleted.

    pip install ".[demo]"
    python benchmarks/rounding.py
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import _record
import _study
import jax

from zojax.lm.training import FinetuneConfig, HyperParameters

STEPS = 300
RUNS = _record.RESULTS / "rounding_runs.jsonl"
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16, nearest": {"dtype": "bfloat16", "hyper": HyperParameters(rounding="nearest")},
    "bfloat16, stochastic": {"dtype": "bfloat16", "hyper": HyperParameters(rounding="stochastic")},
    "bfloat16, compensated": {
        "dtype": "bfloat16",
        "hyper": HyperParameters(rounding="compensated"),
    },
    "bfloat16, folded (subspace of rank 16)": {
        "dtype": "bfloat16",
        "hyper": HyperParameters(subspace_rank=16),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        for seed in range(args.seeds):
            for name, settings in WAYS.items():
                config = FinetuneConfig(seed=seed, steps=STEPS, **settings)
                runs[name].append(_study.run(RUNS, {"way": name, "seed": seed}, config))
    path = _record.write(
        "rounding",
        "Weights in bfloat16 on the main job: accuracy on 1,000 test sentences, in percent",
        [_row(name, of_name) for name, of_name in runs.items()],
        f"Mean ± standard error over {args.seeds} seeds, zo_adamu on opt-mini, {STEPS} steps of 16 "
        "sentences of Rotten Tomatoes, the default learning rate.",
    )
    print(f"written: {path}")


def _row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "weights": name,
        "last step": _study.mean_and_error([100 * run["tuned"] for run in runs]),
        "best step on dev": _study.mean_and_error([100 * run["best"] for run in runs]),
        "dev loss × 100": _study.mean_and_error([100 * run["dev_loss"] for run in runs]),
    }


if __name__ == "__main__":
    main()

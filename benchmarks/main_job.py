"""The main job, ``zojax finetune`` without an argument, over seeds: what starts and rates bring.

Every finished run is a line of ``results/main_job_runs.jsonl``; run again, the script goes on from
there. A fresh study begins with that file deleted.

    pip install ".[demo]"
    python benchmarks/main_job.py
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
RUNS = _record.RESULTS / "main_job_runs.jsonl"
CONSTANT = HyperParameters(schedule="constant")
# The first is the default of version 0.2: MeZO's unit, in which a rate fits one model and loss.
WAYS: dict[str, dict[str, Any]] = {
    "label words, rate 3e-5 as in 0.2": {
        "hyper": HyperParameters(learning_rate=3e-5, slope_rule="none")
    },
    "label words, a constant rate": {"hyper": CONSTANT},
    "label words, a decreasing rate (the default)": {},
    "the best start on dev (--start auto), a constant rate": {"start": "auto", "hyper": CONSTANT},
    "the best start on dev (--start auto), a decreasing rate": {"start": "auto"},
}


# Of the others there are as many seeds as --seeds says: they are compared.
SEEDS_OF_AUTO = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
        for seed in range(args.seeds):
            for name, settings in WAYS.items():
                if settings.get("start") == "auto" and seed >= SEEDS_OF_AUTO:
                    continue
                config = FinetuneConfig(seed=seed, steps=STEPS, **settings)
                runs[name].append(_study.run(RUNS, {"way": name, "seed": seed}, config))
    path = _record.write(
        "main_job",
        "zojax finetune without an argument: accuracy on 1,000 test sentences, in percent",
        [_row(name, of_name) for name, of_name in runs.items()],
        f"Mean ± standard error over {args.seeds} seeds, {SEEDS_OF_AUTO} of --start auto; zo_adamu "
        "on opt-mini, 1,000 steps of 16 sentences of Rotten Tomatoes. “Tuning adds” is the best "
        "step on dev over the start. Forward passes are those of the steps, of 16 sentences each; "
        "a search of the rate or a start come on top, as the last column says.",
    )
    print(f"written: {path}")


def _row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    adds = [100 * (run["best"] - run["zero_shot"]) for run in runs]
    return {
        "run": name,
        "start": _study.mean_and_error([100 * run["zero_shot"] for run in runs]),
        "last step": _study.mean_and_error([100 * run["tuned"] for run in runs]),
        "best step on dev": _study.mean_and_error([100 * run["best"] for run in runs]),
        "tuning adds": _study.mean_and_error(adds),
        "forward passes": runs[0]["forward_passes"],
        "before the steps": _study.mean_and_error([float(run["passes_before"]) for run in runs]),
    }


if __name__ == "__main__":
    main()

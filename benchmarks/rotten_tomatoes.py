"""Opt-mini on Rotten Tomatoes: ZO-AdaMU, MeZO and Adam at equal steps and equal tuning effort.

Each optimizer's learning rate is chosen on dev from one grid with one seed that is used for
nothing else; then it runs from other seeds, and the last step's parameters are measured on test.
Every finished run is a line of ``results/rotten_tomatoes_runs.jsonl``; run again, the script goes
on from there. A fresh study begins with that file deleted.

    python benchmarks/rotten_tomatoes.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from typing import Any

import _record
import _study
import jax

from zojax.lm.training import DataConfig, FinetuneConfig, HyperParameters

ADAM = "Adam (backpropagation)"
# Random signs, which a CPU draws several times faster than normal numbers.
SIGNS = {"direction": "rademacher"}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "ZO-AdaMU, signed momentum": {
        "optimizer": "zo_adamu",
        "hyper": {"signed_momentum": True, **SIGNS},
    },
    "ZO-AdaMU, unsigned momentum": {
        "optimizer": "zo_adamu",
        "hyper": {"signed_momentum": False, **SIGNS},
    },
    "MeZO": {"optimizer": "mezo", "hyper": SIGNS},
    ADAM: {"optimizer": "adam", "hyper": {}},
}
LEARNING_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
TUNING_SEED = 1000
RUNS = _record.RESULTS / "rotten_tomatoes_runs.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        tuned = {name: _tuned(name, args.steps, range(args.seeds)) for name in OPTIMIZERS}
    path = _record.write(
        "rotten_tomatoes",
        "Rotten Tomatoes with opt-mini: accuracy on 1,000 test sentences, in percent",
        _rows(tuned),
        f"Mean ± standard error over {args.seeds} seeds after {args.steps} steps of 16 examples. "
        f"The learning rate of each optimizer is the best of {len(LEARNING_RATES)} by accuracy on "
        "1,000 dev sentences, from a seed of its own. “Of the way” is the part of the distance "
        "from zero-shot to Adam. A step of Adam is a forward and a backward pass; a "
        "zeroth-order step is two forward passes.",
    )
    print(f"written: {path}")


def _tuned(name: str, steps: int, seeds: range) -> list[dict[str, Any]]:
    """Runs from every seed, at the learning rate that does best on dev."""
    grid = [_run(name, steps, rate, TUNING_SEED) for rate in LEARNING_RATES]
    rate = _study.best_rate(grid)
    return [_run(name, steps, rate, seed) for seed in seeds]


def _rows(tuned: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    zero_shot = tuned[ADAM][0]["zero_shot"]
    adam = statistics.mean(run["tuned"] for run in tuned[ADAM])
    rows: list[dict[str, Any]] = [
        {
            "optimizer": "none (zero-shot)",
            "learning rate": None,
            "forward passes": 0,
            "last step": f"{100 * zero_shot:.1f}",
            "best step on dev": None,
            "of the way": "0%",
        }
    ]
    for name, runs in tuned.items():
        way = (statistics.mean(run["tuned"] for run in runs) - zero_shot) / (adam - zero_shot)
        rows.append(
            {
                "optimizer": name,
                "learning rate": f"{runs[0]['learning_rate']:.0e}",
                "forward passes": runs[0]["forward_passes"],
                "last step": _study.mean_and_error([100 * run["tuned"] for run in runs]),
                "best step on dev": _study.mean_and_error([100 * run["best"] for run in runs]),
                "of the way": f"{100 * way:.0f}%",
            }
        )
    return rows


def _run(name: str, steps: int, rate: float, seed: int) -> dict[str, Any]:
    settings = OPTIMIZERS[name]
    config = FinetuneConfig(
        implementation=_study.MEASURED_WITH,
        optimizer=settings["optimizer"],
        hyper=HyperParameters(
            learning_rate=rate,
            **settings["hyper"],
            **_study.as_published(settings["optimizer"]),
        ),
        data=DataConfig(dev_size=1000),
        steps=steps,
        eval_every=max(1, steps // 10),
        seed=seed,
    )
    key = {"optimizer": name, "steps": steps, "learning_rate": rate, "seed": seed}
    return _study.run(RUNS, key, config)


if __name__ == "__main__":
    main()

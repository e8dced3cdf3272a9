"""All optimizers on Rotten Tomatoes with opt-mini, at equal forward passes and tuning effort.

Each optimizer's learning rate is chosen on dev, from a grid of five with one seed that is used for
nothing else; then it runs from other seeds, and the last step's parameters are measured on test.
Every finished run is a line of ``results/nine_optimizers_runs.jsonl``; run again, the script goes
on from there. A fresh study begins with that file deleted.

    pip install ".[demo]"
    python benchmarks/nine_optimizers.py
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import _record
import _study
import jax

from zojax.lm.models import load
from zojax.lm.training import DataConfig, FinetuneConfig, HyperParameters, passes_of_a_step, resolve

GRID = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
# The middle of each grid is of the size that the optimizer's steps ask for: momentum of 0.9 makes
# steps ten times as long, a step by the sign does not lengthen with the slope, and SGD's gradients
# are √d times as short as an estimate of them.
SCALES = {
    "mezo": 1.0,
    "zo_sgd_sign": 10.0,
    "zo_sgd_momentum": 0.1,
    "zo_sgd_conservative": 1.0,
    "zo_sgd_blockwise": 1.0,
    "zo_adam": 1.0,
    "zo_adamm": 1.0,
    "zo_adamu": 1.0,
    "forward_gradient_sgd": 1.0,
    "sgd": 100.0,
    "adam": 1.0,
}
FIRST_ORDER = ("sgd", "adam")
TUNING_SEED = 1000
RUNS = _record.RESULTS / "nine_optimizers_runs.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--forward-passes", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        steps = {name: _steps(name, args.forward_passes) for name in SCALES}
        grids = {
            name: [_run(name, steps[name], _rate(name, rate), TUNING_SEED) for rate in GRID]
            for name in SCALES
        }
        best = {name: _study.best_rate(grid) for name, grid in grids.items()}
        # Seed by seed, so that what is there after an interruption compares all of them.
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SCALES}
        for seed in range(args.seeds):
            for name, rate in best.items():
                runs[name].append(_run(name, steps[name], rate, seed))
    path = _record.write(
        "nine_optimizers",
        "Rotten Tomatoes with opt-mini: accuracy on 1,000 test sentences, in percent",
        _rows(runs),
        f"Mean ± standard error over {args.seeds} seeds at {args.forward_passes} forward passes of "
        f"16 examples; a gradient and a directional derivative are worth three, so that their "
        f"optimizers take {steps['adam']} steps. Each learning rate is the best "
        f"of {len(GRID)}, a factor of about 3 apart, by accuracy on 1,000 dev sentences, from a "
        f"seed of its own. Directions are random signs.",
    )
    print(f"written: {path}")


def _rate(name: str, rate: float) -> float:
    return float(f"{rate * SCALES[name]:.0e}")


def _steps(name: str, forward_passes: int) -> int:
    """How many steps the budget buys."""
    params = load("opt-mini", implementation=_study.MEASURED_WITH).params
    return forward_passes // passes_of_a_step(_config(name), params).cost


def _config(name: str, **settings: Any) -> FinetuneConfig:
    return resolve(
        FinetuneConfig(
            optimizer=name,
            implementation=_study.MEASURED_WITH,
            data=DataConfig(dev_size=1000),
            **settings,
        )
    )


def _rows(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "optimizer": "none (zero-shot)",
            "learning rate": None,
            "steps": 0,
            "last step": f"{100 * runs['mezo'][0]['zero_shot']:.1f}",
            "best step on dev": None,
        }
    ]
    for name, of_name in runs.items():
        rows.append(
            {
                "optimizer": f"{name} (back-propagation)" if name in FIRST_ORDER else name,
                "learning rate": f"{of_name[0]['learning_rate']:.0e}",
                "steps": of_name[0]["steps"],
                "last step": _study.mean_and_error([100 * run["tuned"] for run in of_name]),
                "best step on dev": _study.mean_and_error([100 * run["best"] for run in of_name]),
            }
        )
    return rows


def _run(name: str, steps: int, rate: float, seed: int) -> dict[str, Any]:
    # Random signs, which a CPU draws several times faster than normal numbers.
    signs = None if name in FIRST_ORDER else "rademacher"
    hyper = HyperParameters(learning_rate=rate, direction=signs, **_study.as_published(name))
    config = _config(name, hyper=hyper, steps=steps, eval_every=max(1, steps // 4), seed=seed)
    key = {"optimizer": name, "steps": steps, "learning_rate": rate, "seed": seed}
    return _study.run(RUNS, key, config)


if __name__ == "__main__":
    main()

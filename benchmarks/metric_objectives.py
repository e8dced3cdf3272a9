"""MeZO on metrics themselves: minus accuracy, and minus F1 of what the model writes.

Three studies with opt-mini, whose test scores before and after are the table:

- Rotten Tomatoes by label words, minus accuracy;
- Rotten Tomatoes with the verdict written as text, minus F1: the right texts are the two words that
  opt-mini, untuned, writes most often to training sentences;
- facts of Wikidata (bigbench-qa-wikidata), minus F1. opt-mini answers them with verdicts on films
  too: an F1 of 0 and no slope. So the study starts from an opt-mini that Adam has tuned a little on
  the loss.

The learning rate of each is chosen on dev, from a grid of three with one seed that is used for
nothing else; then it runs from other seeds. Every finished run is a line of
``results/metric_objectives_runs.jsonl``; run again, the script goes on from there. A fresh study
begins with that file deleted.

    pip install ".[demo]"
    export ZOJAX_BIGBENCH=...   # see docs/tasks.md
    python benchmarks/metric_objectives.py
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _record
import _study
import jax

from zojax.lm.tasks import rotten_tomatoes
from zojax.lm.training import DataConfig, FinetuneConfig, HyperParameters, finetune

LOSS_STEPS = 100
TUNING_SEED = 1000
RUNS = _record.RESULTS / "metric_objectives_runs.jsonl"
VERDICTS = ("disappointing", "delightful")
VERDICT_TASK = """
name = "verdicts"
kind = "generation"
template = "{text} It was {label}"
max_new_tokens = 8
sizes = {train = 6000, dev = 500, test = 1000}
"""


@dataclass(frozen=True)
class Study:
    """A run but for its learning rate and its seed, and the rates to try."""

    title: str
    metric: str
    start: str
    config: FinetuneConfig
    rates: tuple[float, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        every = studies(Path(folder))
        best = {
            name: _study.best_rate([_run(name, study, rate, TUNING_SEED) for rate in study.rates])
            for name, study in every.items()
        }
        # Seed by seed, so that what is there after an interruption has all the studies.
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in every}
        for seed in range(args.seeds):
            for name, study in every.items():
                runs[name].append(_run(name, study, best[name], seed))
    path = _record.write(
        "metric_objectives",
        "opt-mini tuned by MeZO on the metric: what it is on 1,000 test examples, in percent",
        [_row(study, runs[name]) for name, study in every.items()],
        f"Mean ± standard error over {args.seeds} seeds; before, there is one model, and so no "
        f"error. Each learning rate is the best of three, a factor of about 3 apart, on dev, "
        f"from a seed of its own. Directions are random signs. The verdicts are "
        f"{' and '.join(VERDICTS)}; the model tuned on the loss had {LOSS_STEPS} steps of Adam.",
    )
    print(f"written: {path}")


def studies(folder: Path) -> dict[str, Study]:
    """The studies, with the files that they read in ``folder``."""
    facts = DataConfig(task="bigbench-qa-wikidata", dev_size=1000)
    tuned, zero_shot = _tuned_on_the_loss(folder, facts)
    return {
        "accuracy": Study(
            "Rotten Tomatoes, label words",
            "accuracy",
            "as it is",
            _config("accuracy", DataConfig(dev_size=1000), eps=1e-2, steps=600),
            (1e-4, 3e-4, 1e-3),
        ),
        "verdicts": Study(
            "Rotten Tomatoes, written verdict",
            "F1",
            "as it is",
            _config("f1", _verdicts(folder), eps=3e-3, steps=300),
            (3e-5, 1e-4, 3e-4),
        ),
        "facts": Study(
            "bigbench-qa-wikidata, written answer",
            "F1",
            f"tuned on the loss, from {100 * zero_shot:.1f}",
            _config("f1", facts, eps=1e-2, steps=300, model=str(tuned)),
            (3e-4, 1e-3, 3e-3),
        ),
    }


def _config(
    objective: Any, data: DataConfig, eps: float, steps: int, model: str = "opt-mini"
) -> FinetuneConfig:
    return FinetuneConfig(
        model=model,
        implementation=_study.MEASURED_WITH,
        optimizer="mezo",
        objective=objective,
        steps=steps,
        batch_size=64,
        eval_every=steps // 4,
        data=data,
        hyper=HyperParameters(eps=eps, direction="rademacher", slope_rule="none"),
    )


def _verdicts(folder: Path) -> DataConfig:
    """Rotten Tomatoes with a word in the place of each class."""
    task = folder / "verdicts.toml"
    task.write_text(VERDICT_TASK, encoding="utf-8")
    files: dict[str, Any] = {split: folder / f"{split}.jsonl" for split in ("train", "dev", "test")}
    for split, examples in rotten_tomatoes().items():
        rows = [
            {"text": example.text, "answers": [VERDICTS[example.label]]} for example in examples
        ]
        files[split].write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return DataConfig(task=str(task), **files)


def _tuned_on_the_loss(folder: Path, data: DataConfig) -> tuple[Path, float]:
    """The folder of an opt-mini that writes answers, if mostly wrong ones; F1 of opt-mini."""
    config = FinetuneConfig(
        implementation=_study.MEASURED_WITH,
        optimizer="adam",
        steps=LOSS_STEPS,
        batch_size=32,
        eval_every=LOSS_STEPS,
        output=folder / "tuned on the loss",
        data=data,
        hyper=HyperParameters(learning_rate=1e-3),
    )
    result = finetune(config)
    return result.model_folder, result.zero_shot.metric


def _run(name: str, study: Study, rate: float, seed: int) -> dict[str, Any]:
    hyper = dataclasses.replace(study.config.hyper, learning_rate=rate)
    config = dataclasses.replace(study.config, hyper=hyper, seed=seed)
    key = {
        "study": name,
        "steps": config.steps,
        "eps": hyper.eps,
        "learning_rate": rate,
        "seed": seed,
    }
    return _study.run(RUNS, key, config)


def _row(study: Study, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "task": study.title,
        "objective": f"−{study.metric}",
        "opt-mini": study.start,
        "eps": f"{study.config.hyper.eps:.0e}",
        "learning rate": f"{runs[0]['learning_rate']:.0e}",
        "steps of 64": study.config.steps,
        "before": f"{100 * runs[0]['zero_shot']:.1f}",
        "last step": _study.mean_and_error([100 * run["tuned"] for run in runs]),
        "best step on dev": _study.mean_and_error([100 * run["best"] for run in runs]),
    }


if __name__ == "__main__":
    main()

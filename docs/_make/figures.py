"""The figures of README and docs."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from typing import Any

from _make.results import read, runs
from _make.svg import Chart, Points

# Parameters in billions, as the models' names have them.
SIZES = {"opt-125m": 0.125, "opt-1.3b": 1.3, "opt-2.7b": 2.7, "opt-6.7b": 6.7, "opt-13b": 13.0}
GIGABYTES = "memory, GB"


def memory() -> Chart:
    """The first picture: what a step needs, over the size of the model."""
    ours, others = read("memory_by_model.json")["rows"], read("memory_other_ways.json")["rows"]
    named = {
        "Adam, back-propagation": (ours, "adam"),
        "MeZO on a perturbed copy": (others, "mezo, a perturbed copy"),
        "zojax: zo_adamu": (ours, "zo_adamu"),
        "Adam on a LoRA": (others, "adam, LoRA of rank 8"),
        "zojax: mezo": (ours, "mezo"),
        "a forward pass": (ours, "inference"),
    }
    return Chart(
        "Memory of a step, OPT in bfloat16, one row of 400 tokens",
        "parameters, billions",
        GIGABYTES,
        {
            label: [(SIZES[row["model"]], row[GIGABYTES]) for row in rows if row["method"] == name]
            for label, (rows, name) in named.items()
        },
        lines={"an A100 of 80 GB": 80.0},
    )


def memory_by_model() -> Chart:
    """All methods, over the size of the model."""
    result = read("memory_by_model.json")
    models = list(dict.fromkeys(row["model"] for row in result["rows"]))
    places = {model: float(i) for i, model in enumerate(models)}
    series = _series(result["rows"], lambda row: places[row["model"]], GIGABYTES, "method")
    return Chart(result["title"], "model", GIGABYTES, series, names=models, log=True)


def memory_by_length() -> Chart:
    """All methods, over the length of rows."""
    result = read("memory_by_length.json")
    series = _series(result["rows"], lambda row: row["length"], GIGABYTES, "method")
    return Chart(result["title"], "tokens of a row", GIGABYTES, series)


def main_job() -> Chart:
    """Accuracy on dev over forward passes: the main job, from two starts, at a constant rate."""
    of_seeds = runs("main_job_runs.jsonl")
    words = [r for r in of_seeds if r["way"] == "label words, a constant rate"]
    auto = "the best start on dev (--start auto), a constant rate"
    probe = [r for r in of_seeds if r["way"] == auto]
    mezo = [
        r
        for r in runs("subspace_runs.jsonl")
        if (r.get("model"), r["method"], r["start"]) == (None, "mezo", "words")
    ]
    return Chart(
        "The main job: accuracy on dev over forward passes of 16 sentences",
        "forward passes, those before the first step included",
        "dev, percent",
        {
            "zo_adamu, from a probe": _curve(probe, 2),
            "zo_adamu": _curve(words, 2),
            "mezo": _curve(mezo, 2),
        },
    )


def smollm2() -> Chart:
    """Accuracy on dev over forward passes: SmolLM2."""
    result = read("smollm2_dev.json")
    series = _series(result["rows"], lambda row: row["forward passes"], "dev, percent", "run")
    return Chart(result["title"], "forward passes of 16 sentences", "dev, percent", series)


def _series(
    rows: list[dict[str, Any]], x: Callable[[dict[str, Any]], float], y: str, name: str
) -> dict[str, Points]:
    names = dict.fromkeys(row[name] for row in rows)
    return {n: [(x(row), row[y]) for row in rows if row[name] == n] for n in names}


def _curve(of_seeds: list[dict[str, Any]], passes: int) -> Points:
    """The mean of the seeds' curves, in percent, over forward passes."""
    before = of_seeds[0]["passes_before"]
    steps = [step for step, _ in of_seeds[0]["dev_curve"]]
    means = [mean(run["dev_curve"][i][1] for run in of_seeds) for i in range(len(steps))]
    return [(before + passes * s, 100 * m) for s, m in zip(steps, means, strict=True)]


FIGURES: dict[str, Callable[[], Chart]] = {
    "memory": memory,
    "memory_by_model": memory_by_model,
    "memory_by_length": memory_by_length,
    "main_job": main_job,
    "smollm2": smollm2,
}

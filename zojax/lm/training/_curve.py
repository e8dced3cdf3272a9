"""The plot of a run: loss and dev metric over the steps and their forward passes."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LABELS = {
    "dev_f1": "dev F1 (%)",
    "dev_accuracy": "dev accuracy (%)",
    "dev_perplexity": "dev perplexity",
    "dev_reward": "dev reward",
}


def require_matplotlib() -> None:
    """Refuse before the run if its curve cannot be drawn.

    Raises:
      ImportError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError('finetune: the curve needs matplotlib: pip install "zojax[demo]".')


def draw_curve(path: Path, title: str, metrics: list[dict[str, Any]], objective: str) -> None:
    """Plot the lines of metrics.jsonl into a PNG file.

    Args:
      path: The file to write.
      title: The title of the figure.
      metrics: Lines with ``step``, and ``loss``, the scores on dev, or both. The first scores are
        those of the start; ``dev_majority`` beside them is the largest class's share of dev.
      objective: What the steps minimize, which labels the axis of ``loss``: ``"loss"``, a metric,
        or ``"reward"``.
    """
    # Figure draws without pyplot, which has global state and may need a window system.
    from matplotlib.figure import Figure

    losses = [(line["step"], line["loss"]) for line in metrics if "loss" in line]
    measured = [line for line in metrics if "dev_loss" in line]
    names = ("dev_reward", "dev_f1", "dev_perplexity", "dev_accuracy")
    metric = next((name for name in names if any(name in line for line in measured)), names[-1])
    unit, scale = ("", 1) if metric in ("dev_reward", "dev_perplexity") else (" %", 100)
    digits = ".4g" if metric == "dev_reward" else ".1f"
    scores = [(line["step"], scale * line[metric]) for line in measured]
    levels = {name: scale * level for name, level in _levels(measured, metric).items()}
    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.set_title(title)
    upper.plot(*_columns(losses), color="tab:gray", linewidth=0.8)
    upper.set_ylabel("training loss (nats)" if objective == "loss" else f"training −{objective}")
    lower.plot(*_columns(scores), color="tab:blue", marker="o", markersize=3)
    for (name, level), style in zip(levels.items(), ("--", ":"), strict=False):
        lower.axhline(
            level, color="tab:gray", linestyle=style, label=f"{name} {level:{digits}}{unit}"
        )
    if levels:
        lower.legend(loc="best", fontsize="small")
    lower.set_ylabel(_LABELS[metric])
    lower.set_xlabel("step")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    if passes := _passes_of_a_step(metrics):
        top = upper.secondary_xaxis("top", functions=(lambda x: x * passes, lambda x: x / passes))
        top.set_xlabel("forward passes")
    figure.savefig(path, dpi=150)


def draw_rates(path: Path, rates: Sequence[float], losses: Sequence[float], chosen: float) -> None:
    """Plot the losses of learning rates into a PNG file; those that are not finite are left out."""
    from matplotlib.figure import Figure

    finite = [(rate, loss) for rate, loss in zip(rates, losses, strict=True) if loss < math.inf]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(*_columns(finite), color="tab:blue", marker="o", markersize=3)
    axes.axvline(chosen, color="tab:gray", linestyle="--", label=f"chosen: {chosen:g}")
    axes.legend(loc="best", fontsize="small")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss after a few steps (nats)")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _levels(measured: list[dict[str, Any]], metric: str) -> dict[str, float]:
    """What the curve is to be compared with."""
    first = measured[0] if measured else {}
    found = {"start": first.get(metric), "majority": first.get("dev_majority")}
    return {name: level for name, level in found.items() if level is not None}


def _passes_of_a_step(metrics: list[dict[str, Any]]) -> float:
    """Forward passes of a step, as zojax.passes counts them; 0 if no line has them."""
    counted = [
        line["forward_passes"] / line["step"] for line in metrics if "forward_passes" in line
    ]
    return counted[-1] if counted else 0.0


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [step for step, _ in points], [value for _, value in points]

"""The plot of a run: loss and dev metric over the steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from zojax.lm.training._config import ObjectiveName


def require_matplotlib() -> None:
    """Refuse before the run if its curve cannot be drawn.

    Raises:
      ImportError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError('finetune: the curve needs matplotlib: pip install "zojax[demo]".')


def draw_curve(
    path: Path, title: str, metrics: list[dict[str, Any]], objective: ObjectiveName
) -> None:
    """Plot the lines of metrics.jsonl into a PNG file.

    Args:
      path: The file to write.
      title: The title of the figure.
      metrics: Lines with ``step``, and ``loss``, the scores on dev, or both.
      objective: What the steps minimize, which labels the axis of ``loss``.
    """
    # Figure draws without pyplot, which has global state and may need a window system.
    from matplotlib.figure import Figure

    losses = [(line["step"], line["loss"]) for line in metrics if "loss" in line]
    measured = [line for line in metrics if "dev_loss" in line]
    generates = any("dev_f1" in line for line in measured)
    metric = "dev_f1" if generates else "dev_accuracy"
    scores = [(line["step"], 100 * line[metric]) for line in measured]
    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.set_title(title)
    upper.plot(*_columns(losses), color="tab:gray", linewidth=0.8)
    upper.set_ylabel("training loss (nats)" if objective == "loss" else f"training −{objective}")
    lower.plot(*_columns(scores), color="tab:blue", marker="o", markersize=3)
    lower.set_ylabel("dev F1 (%)" if generates else "dev accuracy (%)")
    lower.set_xlabel("step")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]

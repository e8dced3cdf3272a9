"""Plots of the dev score over forward passes and over time, one for each model and task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zojax.lm.comparison._study import Cell

_PASSES, _SECONDS, _SCORE = range(3)  # indices into a point of a record's curve


def draw_curves(reported: Mapping[Cell, Sequence[Mapping[str, Any]]], folder: Path) -> list[Path]:
    """Plot means over seeds, with a band of one standard error, into PNG files in ``folder``.

    Args:
      reported: Records. Those without a ``curve`` are left out: baselines, and runs that failed
        because their loss was not finite.
      folder: An existing folder.

    Returns:
      The files.
    """
    # Figure draws without pyplot, which has global state and may need a window system.
    from matplotlib.figure import Figure

    plots: dict[tuple[str, str], list[tuple[str, np.ndarray]]] = {}
    for cell, records in reported.items():
        curves = [record["curve"] for record in records if "curve" in record]
        if curves:
            alone = len(cell.study.adapters) == 1
            label = cell.method if alone else f"{cell.method}, {cell.adapter}"
            lines = plots.setdefault((cell.model, cell.task), [])
            lines.append((label, np.asarray(curves, float)))
    paths: list[Path] = []
    for (model, task), lines in plots.items():
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        over_passes, over_time = figure.subplots(1, 2, sharey=True)
        for number, (label, curves) in enumerate(lines):
            style = "-" if number < 10 else "--"  # matplotlib's cycle has ten colours
            mean = curves.mean(0)
            error = 100 * curves[..., _SCORE].std(0, ddof=1 if len(curves) > 1 else 0)
            error /= len(curves) ** 0.5
            for axes, over in ((over_passes, _PASSES), (over_time, _SECONDS)):
                score = 100 * mean[:, _SCORE]
                axes.plot(mean[:, over], score, style, label=label, linewidth=1.2)
                axes.fill_between(mean[:, over], score - error, score + error, alpha=0.15)
        over_passes.set(xlabel="forward passes", ylabel="dev score (%)")
        over_time.set(xlabel="seconds in steps")
        figure.suptitle(f"{model} on {task}")
        for axes in (over_passes, over_time):
            axes.grid(alpha=0.3)
        figure.legend(*over_passes.get_legend_handles_labels(), loc="outside right center")
        paths.append(folder / f"{_file_name(model)}-{_file_name(task)}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_")

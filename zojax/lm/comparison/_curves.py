"""Dev score over forward passes and over time, a picture for each model and task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zojax.lm.comparison._study import Cell

_PASSES, _SECONDS, _SCORE = range(3)  # of a point of a record's curve


def draw_curves(reported: Mapping[Cell, Sequence[Mapping[str, Any]]], folder: Path) -> list[Path]:
    """Draw PNG files into ``folder``: means over seeds, with a band of one standard error.

    Args:
      reported: Records with a ``curve``; those without, of baselines and of runs that broke down,
        are left out.
      folder: Must be there.

    Returns:
      The files.
    """
    # The figure's own canvas, not pyplot: no window system, no global state.
    from matplotlib.figure import Figure

    pictures: dict[tuple[str, str], list[tuple[str, np.ndarray]]] = {}
    for cell, records in reported.items():
        curves = [record["curve"] for record in records if "curve" in record]
        if curves:
            alone = len(cell.study.adapters) == 1
            label = cell.method if alone else f"{cell.method}, {cell.adapter}"
            lines = pictures.setdefault((cell.model, cell.task), [])
            lines.append((label, np.asarray(curves, float)))
    paths: list[Path] = []
    for (model, task), lines in pictures.items():
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        over_passes, over_time = figure.subplots(1, 2, sharey=True)
        for number, (label, curves) in enumerate(lines):
            style = "-" if number < 10 else "--"  # ten colours
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

"""The plot of a run: what it compares the scores with, and its axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest

from zojax.lm.training._curve import draw_curve

METRICS: list[dict[str, Any]] = [
    {"step": 0, "dev_accuracy": 0.5, "dev_loss": 0.7, "dev_majority": 0.625},
    {"step": 2, "loss": 0.7, "forward_passes": 8},
    {"step": 4, "loss": 0.6, "forward_passes": 16, "dev_accuracy": 0.75, "dev_loss": 0.5},
]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.figure.Figure]:
    drawn: list[matplotlib.figure.Figure] = []
    save = matplotlib.figure.Figure.savefig

    def savefig(figure: matplotlib.figure.Figure, *args: Any, **kwargs: Any) -> None:
        drawn.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)
    return drawn


def lines_of(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}


def test_start_and_majority_are_levels(tmp_path: Path, figures: list[Any]):
    draw_curve(tmp_path / "curve.png", "a run", METRICS, "loss")
    upper, lower = figures[0].get_axes()
    lines = lines_of(lower)
    assert lines["start 50.0 %"] == [50.0, 50.0]
    assert lines["majority 62.5 %"] == [62.5, 62.5]
    assert [50.0, 75.0] in lines.values()
    assert len(lower.get_legend().get_texts()) == 2
    (passes,) = upper.child_axes
    assert passes.get_xlabel() == "forward passes"
    np.testing.assert_allclose(passes.get_xlim(), 4 * np.array(upper.get_xlim()))


def test_what_a_run_does_not_have_is_left_out(tmp_path: Path, figures: list[Any]):
    start = {"step": 0, "dev_f1": 0.25, "dev_accuracy": 0.1, "dev_loss": 0.7}
    draw_curve(tmp_path / "generation.png", "a run", [start], "f1")
    upper, lower = figures[0].get_axes()
    assert [*lines_of(lower)][1:] == ["start 25.0 %"]
    assert not upper.child_axes
    draw_curve(tmp_path / "stopped.png", "a run", [], "loss")
    assert figures[1].get_axes()[1].get_legend() is None
    assert (tmp_path / "stopped.png").read_bytes().startswith(b"\x89PNG")


def test_perplexity_is_no_percentage(tmp_path: Path, figures: list[Any]):
    metrics = [{"step": i, "dev_loss": 2.0 - i, "dev_perplexity": 7.5 - i} for i in range(2)]
    draw_curve(tmp_path / "texts.png", "a run", metrics, "loss")
    lower = figures[0].get_axes()[1]
    assert lower.get_ylabel() == "dev perplexity"
    lines = lines_of(lower)
    assert lines["start 7.5"] == [7.5, 7.5]
    assert [7.5, 6.5] in lines.values()

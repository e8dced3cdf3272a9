"""Means, significance, and the tables made of them."""

from __future__ import annotations

from typing import Any

import pytest

from zojax.lm.comparison import Entry, Study
from zojax.lm.comparison._curves import draw_curves
from zojax.lm.comparison._study import Cell, Method, Part
from zojax.lm.comparison._summary import better, summarize
from zojax.lm.comparison._tables import tables

pytestmark = pytest.mark.quick

CLOSE = (0.70, 0.72, 0.71, 0.69, 0.73)
HIGH = (0.80, 0.82, 0.81, 0.79, 0.83)


def method(baseline: Any = None) -> Method:
    return Method(Part(), baseline, ("m",), ("full",), {})


STUDY = Study(
    title="T_1 & more",
    models=("m",),
    tasks={"a_b": {}, "c": {}},
    adapters={"full": {}},
    methods={"zero": method("zero-shot"), "x": method(), "y": method()},
    forward_passes=10,
)


def reported(**scores: tuple[float, ...]) -> dict[Cell, list[dict[str, Any]]]:
    return {
        Cell(STUDY, "m", "a_b", name, "full"): [
            {"test": value, "point": {"learning_rate": 0.1}} for value in values
        ]
        for name, values in scores.items()
    }


def by_method(entries: list[Entry]) -> dict[str, Entry]:
    return {entry.cell.method: entry for entry in entries}


def test_means_and_standard_errors():
    entries = by_method(summarize(reported(zero=(0.5,), x=CLOSE)))
    assert entries["x"].mean == pytest.approx(0.71)
    # The standard deviation of five values a step of 0.01 apart is 0.01 * sqrt(2.5).
    assert entries["x"].error == pytest.approx(0.01 * 2.5**0.5 / 5**0.5)
    assert entries["zero"].error is None
    assert entries["x"].point == {"learning_rate": 0.1}


def test_the_best_is_marked_only_where_every_difference_is_significant():
    assert by_method(summarize(reported(zero=(0.5,), x=CLOSE, y=HIGH)))["y"].clearly_best
    near = tuple(value + 0.005 for value in CLOSE)
    assert not any(entry.clearly_best for entry in summarize(reported(x=CLOSE, y=near)))
    # Better than one of the two is not enough.
    assert not any(
        entry.clearly_best for entry in summarize(reported(zero=(0.5,), x=CLOSE, y=near))
    )


@pytest.mark.parametrize(
    ("scores", "others", "expected"),
    [
        (HIGH, CLOSE, True),
        (CLOSE, HIGH, False),
        (CLOSE, CLOSE, False),
        (CLOSE, (0.5,), True),
        (CLOSE, (0.705,), False),
        ((0.9,), CLOSE, True),
        ((0.9,), (0.5,), False),
        ((0.9, 0.9), (0.5, 0.5), True),
        ((0.9, 0.9), (0.5,), True),
        (HIGH, (0.5,) * 5, True),
        ((0.75,) * 5, CLOSE, True),
        ((0.715,) * 5, CLOSE, False),
        ((0.9, 0.1), (0.2, 0.3), False),
    ],
)
def test_better_is_welchs_test(
    scores: tuple[float, ...], others: tuple[float, ...], expected: bool
):
    assert better(scores, others) is expected


def test_the_three_tables():
    entries = summarize(reported(zero=(0.5,), x=CLOSE, y=HIGH))
    found = tables(STUDY, entries)
    assert "| zero |  | 50.0 |  |\n" in found["md"]
    assert "| x | full | 71.0 ± 0.7 |  |\n" in found["md"]
    assert "| y | full | **81.0 ± 0.7** |  |\n" in found["md"]
    assert "y & full & \\textbf{81.0 $\\pm$ 0.7} &  \\\\\n" in found["tex"]
    assert "T\\_1 \\& more: m. Test score in percent" in found["tex"]
    assert "method & adapter & a\\_b & c" in found["tex"]
    assert "<td><b>81.0 ± 0.7</b></td>" in found["html"]
    assert "<caption>T_1 &amp; more: m." in found["html"]


def test_curves_are_drawn_for_each_model_and_task(tmp_path: Any):
    records = reported(zero=(0.5,), x=CLOSE)
    for record in records[Cell(STUDY, "m", "a_b", "x", "full")]:
        record["curve"] = [[0, 0.0, 0.5], [10, 1.0, 0.6]]
    (path,) = draw_curves(records, tmp_path)
    assert path == tmp_path / "m-a_b.png"
    assert path.read_bytes().startswith(b"\x89PNG")

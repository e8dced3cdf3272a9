"""Directives ``benchmark-results`` and ``benchmark-chart``, of ``benchmarks/results/*.json``.

No number of the site is typed by hand. A result is one JSON object: ``title`` and ``rows``, a list
of objects that share their keys (the columns); ``caption`` and ``command`` (what made the file) are
optional, and further keys are shown as they are, below the table.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", r"\|")


def _table(result: dict[str, Any]) -> list[str]:
    rows = result["rows"]
    columns = list(rows[0])
    return [
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows),
    ]


def markdown(path: Path) -> list[str]:
    """The lines of Markdown that show one result.

    Raises:
      ValueError: The file lacks a title or rows, or its rows differ in their keys.
    """
    result = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(result, dict) or not result.get("title") or not result.get("rows"):
        raise ValueError(f"{path}: a result must be an object with a title and rows.")
    if any(row.keys() != result["rows"][0].keys() for row in result["rows"]):
        raise ValueError(f"{path}: all rows must have the same keys.")
    lines = [f"**{result['title']}**", ""]
    if "caption" in result:
        lines += [result["caption"], ""]
    lines += [*_table(result), ""]
    if "command" in result:
        lines += [f"Made by `{result['command']}`.", ""]
    known = {"title", "caption", "rows", "command"}
    lines += [f"- {key}: {_cell(value)}" for key, value in result.items() if key not in known]
    return [*lines, ""]


class BenchmarkResults(SphinxDirective):
    """Shows every result, or those whose file names match the argument."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        pattern = self.arguments[0] if self.arguments else "*.json"
        paths = sorted(RESULTS.glob(pattern))
        lines: list[str] = []
        for path in paths:
            self.env.note_dependency(str(path))
            lines += markdown(path)
        if not paths:
            lines = [f"No file `benchmarks/results/{pattern}` has been recorded yet."]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="benchmarks/results"), 0, container)
        return container.children


def chart(path: Path, x: str, y: str, series: str, scale: str) -> str:
    """An SVG of one result: column ``y`` over column ``x``, a line for each value of ``series``.

    Raises:
      ValueError: The rows lack one of the columns.
    """
    from matplotlib.figure import Figure

    result = json.loads(path.read_text(encoding="utf-8"))
    rows = result["rows"]
    missing = [column for column in (x, y, series) if column not in rows[0]]
    if missing:
        raise ValueError(f"{path}: no column {missing[0]!r} among {', '.join(rows[0])}.")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row[series] for row in rows):
        points = [(row[x], row[y]) for row in rows if row[series] == name]
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xlabel=x, ylabel=y, yscale=scale, title=result["title"])
    axes.title.set_fontsize("medium")
    axes.grid(alpha=0.3)
    axes.legend()
    out = io.StringIO()
    figure.savefig(out, format="svg")
    return out.getvalue()[out.getvalue().index("<svg") :]


class BenchmarkChart(SphinxDirective):
    """Draws one result."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {
        "x": directives.unchanged_required,
        "y": directives.unchanged_required,
        "series": directives.unchanged_required,
        "scale": lambda value: directives.choice(value, ("linear", "log")),
    }

    def run(self) -> list[nodes.Node]:
        path = RESULTS / self.arguments[0]
        self.env.note_dependency(str(path))
        x, y, series = (self.options[name] for name in ("x", "y", "series"))
        svg = chart(path, x, y, series, self.options.get("scale", "linear"))
        return [nodes.raw("", svg, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("benchmark-results", BenchmarkResults)
    app.add_directive("benchmark-chart", BenchmarkChart)
    return {"parallel_read_safe": True}

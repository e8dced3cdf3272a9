"""Reads ``benchmarks/results``: tables in JSON, runs in JSON lines.

A result is one JSON object: ``title`` and ``rows``, a list of objects that share their keys (the
columns); ``caption`` and ``command`` (what made the file) are optional, and further keys are shown
as they are, below the table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_ORIGIN = {"commit": "at", "machine": "on", "versions": "with"}
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def read(name: str) -> dict[str, Any]:
    """One result.

    Raises:
      ValueError: It lacks a title or rows, or its rows differ in their keys.
    """
    path = RESULTS / name
    result = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(result, dict) or not result.get("title") or not result.get("rows"):
        raise ValueError(f"{path}: a result must be an object with a title and rows.")
    if any(row.keys() != result["rows"][0].keys() for row in result["rows"]):
        raise ValueError(f"{path}: all rows must have the same keys.")
    return result


def runs(name: str) -> list[dict[str, Any]]:
    """The lines of a file of runs."""
    text = (RESULTS / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def row(name: str, start: str) -> dict[str, Any]:
    """The row whose first values, joined by commas, begin with ``start``.

    Raises:
      ValueError: No row does, or several do.
    """
    rows = read(name)["rows"]
    found = [row for row in rows if ", ".join(map(str, row.values())).startswith(start)]
    if len(found) != 1:
        raise ValueError(f"{name}: one row must begin with {start!r}, {len(found)} do.")
    return found[0]


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    # A line break would end the row.
    return text.replace("|", r"\|").replace("\n", " ")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a Markdown table; the keys of the rows are its columns."""
    columns = list(rows[0])
    return [
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(cell(row[column]) for column in columns) + " |" for row in rows),
    ]


def shown(name: str) -> list[str]:
    """The lines of Markdown that show one result, or say that it is not there yet."""
    if not (RESULTS / name).is_file():
        return [f"No file `benchmarks/results/{name}` has been recorded yet."]
    result = read(name)
    lines = [f"**{result['title']}**", ""]
    if result.get("caption"):
        lines += [result["caption"], ""]
    lines += [*table(result["rows"]), ""]
    if "command" in result:
        lines += [_origin(result), ""]
    known = {"title", "caption", "rows", "command", *_ORIGIN}
    lines += [f"- {key}: {cell(value)}" for key, value in result.items() if key not in known]
    return lines if lines[-1] else lines[:-1]


def _origin(result: dict[str, Any]) -> str:
    """How a result was made, on what and with what, in one line."""
    known = [f"{word} {result[key]}" for key, word in _ORIGIN.items() if result.get(key)]
    return f"*Made by `{result['command']}`{''.join(f', {part}' for part in known)}.*"

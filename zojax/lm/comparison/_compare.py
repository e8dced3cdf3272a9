"""Makes all runs of a study, and writes tables and figures of their results."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from zojax.lm.comparison._curves import draw_curves
from zojax.lm.comparison._execute import StudyObserver, check, execute, reported
from zojax.lm.comparison._records import Records
from zojax.lm.comparison._study import Study
from zojax.lm.comparison._summary import Entry, summarize
from zojax.lm.comparison._tables import caption, tables
from zojax.lm.training import versions

RUNS = "runs.jsonl"


def compare(
    study: Study,
    folder: str | Path,
    *,
    jobs: int = 1,
    observer: StudyObserver | None = None,
) -> list[Entry]:
    """Make a study's runs, and write their results.

    The folder gets ``runs.jsonl``, a line for each finished run; ``table.md``, ``table.tex`` and
    ``table.html``; ``summary.json``; and a plot of the dev score for each model and task. Runs that
    ``runs.jsonl`` contains are not made again, so an interrupted study is resumed, and a study
    whose file has changed makes only the new runs. The other files are always written again; if the
    study is interrupted, they have the results of the finished runs.

    Args:
      study: The study.
      folder: Made if it does not exist.
      jobs: Processes that make runs in parallel, each with its share of the cores.
      observer: Called as the study progresses.

    Returns:
      The entries of the table.

    Raises:
      FileExistsError: The folder is neither empty nor that of a study.
      ImportError, OSError, ValueError: A run cannot be made; raised before the first run.
    """
    observer = observer or StudyObserver()
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_study(folder)):
        raise FileExistsError(
            f"compare: output must be a new or empty folder, or that of a study, got {folder}."
        )
    runs = check(study, observer)
    folder.mkdir(parents=True, exist_ok=True)
    records = Records(folder / RUNS)
    observer.planned(study, runs)
    try:
        execute(study, records, observer, jobs)
    finally:
        observer.stopped()
        entries = _write(study, records, folder)
    return entries


def _write(study: Study, records: Records, folder: Path) -> list[Entry]:
    """Write the tables and plots of the finished runs."""
    runs = reported(study, records)
    entries = summarize(runs)
    if entries:
        for ending, text in tables(study, entries).items():
            (folder / f"table.{ending}").write_text(text, encoding="utf-8")
        (folder / "summary.json").write_text(_summary(study, entries), encoding="utf-8")
        draw_curves(runs, folder)
    return entries


def _is_study(folder: Path) -> bool:
    return (folder / RUNS).is_file()


def _summary(study: Study, entries: Sequence[Entry]) -> str:
    content = {
        "title": study.title,
        "caption": caption(study, entries),
        "versions": {"python": platform.python_version(), **versions()},
        "machine": f"{os.cpu_count()} cores, {platform.system()}, {platform.machine()}",
        "entries": [
            {
                **entry.cell.name,
                "mean": entry.mean,
                "standard_error": entry.error,
                "scores": entry.scores,
                "point": dict(entry.point),
                "clearly_best": entry.clearly_best,
            }
            for entry in entries
        ],
    }
    return json.dumps(content, indent=1) + "\n"

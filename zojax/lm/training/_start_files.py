"""The files of a run's start: what it was, and the head or the bias that was fitted."""

from __future__ import annotations

import json
from pathlib import Path

from zojax.lm.training._score_file import Score, read_score, write_score
from zojax.lm.training._start import Start

_START, _SCORE = START_FILES = ("start.json", "start.safetensors")


def write_start(folder: Path, start: Start, score: Score | None) -> None:
    """Write the files into a run's folder; start.json last, and at once, so that it says all."""
    if score is not None:
        write_score(score, folder / _SCORE)
    part = folder / f"{_START}.part"
    part.write_text(json.dumps(start.as_json(), indent=2) + "\n", encoding="utf-8")
    part.replace(folder / _START)


def read_start(folder: Path) -> tuple[Start, Score | None] | None:
    """Where a run started from, and the head or the bias that it started with.

    Returns:
      None for a run without classes, or one that was killed before it had a start.

    Raises:
      ValueError: A file is damaged.
    """
    file, score = folder / _START, folder / _SCORE
    if not file.is_file():
        return None
    try:
        start = Start(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError, TypeError) as error:
        raise ValueError(
            f"finetune: {file} must be a run's start, got something else ({error!r}). "
            "Copy it again."
        ) from error
    return start, read_score(score) if score.is_file() else None

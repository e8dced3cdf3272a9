"""The rewards of every step, in a file beside the log, which has slopes alone."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zojax.lm.rewards import RewardFigures, mean_figures

_NAMES = ("reward", "reward_best", "reward_spread", "length", "failures")


class RewardLog:
    """A line of JSON for each step, with the figures of its population.

    Args:
      path: The file; if it exists, lines are appended to it.
      writes: Whether this process is the one that writes.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._path, self._writes = path, writes
        self._known = self._read()

    def add(self, step: int, figures: RewardFigures) -> None:
        """Write the figures of a step. Must be called before the step is logged.

        Raises:
          OSError: The file cannot be written, for example because the disk is full.
        """
        self._known[step] = figures
        if self._writes:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._line(step))

    def of(self, steps: Iterable[int]) -> RewardFigures | None:
        """The figures of several steps together; None if none of them is known."""
        known = [self._known[step] for step in steps if step in self._known]
        return mean_figures(known) if known else None

    def keep(self, until: int) -> None:
        """Remove the lines of steps after ``until``, which are taken again."""
        self._known = {step: each for step, each in self._known.items() if step <= until}
        if self._writes and self._path.is_file():
            part = self._path.with_name(f"{self._path.name}.part")
            text = "".join(self._line(step) for step in sorted(self._known))
            part.write_text(text, encoding="utf-8")
            part.replace(self._path)

    def _line(self, step: int) -> str:
        return json.dumps({"step": step, **reward_metrics(self._known[step])}) + "\n"

    def _read(self) -> dict[int, RewardFigures]:
        if not self._path.is_file():
            return {}
        found: dict[int, RewardFigures] = {}
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            # A crash may have truncated the last line.
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                values: dict[str, Any] = json.loads(line)
                found[int(values["step"])] = RewardFigures._make(
                    values.get(name, math.nan) for name in _NAMES
                )
        return found


def reward_metrics(figures: RewardFigures) -> dict[str, float]:
    """Figures under their names in metrics.jsonl; those that are not finite are left out."""
    values = dict(zip(_NAMES, figures, strict=True))
    return {name: value for name, value in values.items() if math.isfinite(value)}

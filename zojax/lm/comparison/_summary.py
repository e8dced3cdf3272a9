"""The results of a study: means, standard errors, and significantly best methods."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from zojax.lm.comparison._study import Cell

LEVEL = 0.05


@dataclass(frozen=True)
class Entry:
    """An entry of the table.

    Attributes:
      cell: The cell that was measured.
      scores: Scores on test, one for each seed, as fractions.
      point: The best point of the cell's grid.
      clearly_best: Whether it is better than every other entry of its model and task, each by
        Welch's t-test at the level of 5%. All tests must succeed, so the level needs no correction
        for multiple tests.
    """

    cell: Cell
    scores: tuple[float, ...]
    point: Mapping[str, Any]
    clearly_best: bool

    @property
    def mean(self) -> float:
        """The mean of the scores."""
        return statistics.mean(self.scores)

    @property
    def error(self) -> float | None:
        """The mean's standard error; None with fewer than two scores."""
        if len(self.scores) < 2:
            return None
        return statistics.stdev(self.scores) / len(self.scores) ** 0.5


def summarize(reported: Mapping[Cell, Sequence[Mapping[str, Any]]]) -> list[Entry]:
    """Make a table entry for each cell that has records of reported runs."""
    scores = {
        cell: tuple(record["test"] for record in records)
        for cell, records in reported.items()
        if records
    }
    return [
        Entry(cell, values, reported[cell][0]["point"], _clearly_best(cell, scores))
        for cell, values in scores.items()
    ]


def _clearly_best(cell: Cell, scores: Mapping[Cell, tuple[float, ...]]) -> bool:
    others = [
        values
        for other, values in scores.items()
        if (other.model, other.task) == (cell.model, cell.task) and other != cell
    ]
    return bool(others) and all(better(scores[cell], values) for values in others)


def better(scores: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the mean of ``scores`` is significantly higher than that of ``others``.

    The test is Welch's t-test, two-sided. If one side is a single value, which is that of a
    deterministic method, it is the one-sample t-test. Of two single values, neither is better.
    """
    if len(scores) + len(others) < 3 or statistics.mean(scores) <= statistics.mean(others):
        return False
    if len(set(scores)) == 1 and len(set(others)) == 1:
        return True  # neither side has any variance
    if min(len(scores), len(others)) == 1:
        many, one = (scores, others[0]) if len(others) == 1 else (others, scores[0])
        test: Any = stats.ttest_1samp(many, one)
    else:
        # Given the scores, scipy warns about its moments if they are all equal; given means and
        # deviations, it does not.
        test = stats.ttest_ind_from_stats(*_moments(scores), *_moments(others), equal_var=False)
    return float(test.pvalue) < LEVEL


def _moments(values: Sequence[float]) -> tuple[float, float, int]:
    return statistics.mean(values), statistics.stdev(values), len(values)

"""What a study found: means, standard errors, and which method is clearly the best."""

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
    """A cell of the table.

    Attributes:
      cell: What was measured.
      scores: On test, one for each seed, fractions.
      point: What its grid's best point is.
      clearly_best: Whether it is better than every other of its model and task, each by Welch's
        t-test at the level of 5%. All of them must hold at once, so the level needs no correction.
    """

    cell: Cell
    scores: tuple[float, ...]
    point: Mapping[str, Any]
    clearly_best: bool

    @property
    def mean(self) -> float:
        """Of the scores."""
        return statistics.mean(self.scores)

    @property
    def error(self) -> float | None:
        """The mean's standard error; None with fewer than two scores."""
        if len(self.scores) < 2:
            return None
        return statistics.stdev(self.scores) / len(self.scores) ** 0.5


def summarize(reported: Mapping[Cell, Sequence[Mapping[str, Any]]]) -> list[Entry]:
    """Make the entries of a table from the reported runs' records, where there are any."""
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
    """Whether the mean of ``scores`` is higher, and not by chance.

    Welch's t-test, two-sided; against a single value, which stands for a method without chance, the
    one-sample test. Two single values tell nothing.
    """
    if len(scores) + len(others) < 3 or statistics.mean(scores) <= statistics.mean(others):
        return False
    if len(set(scores)) == 1 and len(set(others)) == 1:
        return True  # no spread at all
    if min(len(scores), len(others)) == 1:
        many, one = (scores, others[0]) if len(others) == 1 else (others, scores[0])
        test: Any = stats.ttest_1samp(many, one)
    else:
        # From means and deviations, as scores that are all alike make scipy doubt its own moments.
        test = stats.ttest_ind_from_stats(*_moments(scores), *_moments(others), equal_var=False)
    return float(test.pvalue) < LEVEL


def _moments(values: Sequence[float]) -> tuple[float, float, int]:
    return statistics.mean(values), statistics.stdev(values), len(values)

"""What is said of the rewards of a step or of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zojax.lm.rewards._scorer import Rewards, Scorer


class RewardFigures(NamedTuple):
    """Figures of rewards. Those of a step are of its members, those of an evaluation of texts."""

    reward: float  # the mean over all completions; NaN where there is none
    best: float  # the mean of the best member; the best completion's
    spread: float  # the standard deviation over the members; over the completions
    length: float  # mean number of tokens of a completion, its end included
    failures: int  # completions at which the reward failed


@dataclass
class StepRewards:
    """The rewards of a step, as they come: of all members at once, or of one after the other."""

    _means: list[float] = field(default_factory=list)
    _values: list[np.ndarray] = field(default_factory=list)
    _lengths: list[np.ndarray] = field(default_factory=list)
    _mean: float = np.nan

    def add(self, found: Rewards, lengths: np.ndarray, scorer: Scorer) -> None:
        """Note the rewards of members, and the lengths of their completions, int [M, R]."""
        self._means += (-found.losses.astype(np.float64)).tolist()
        self._values.append(found.values)
        self._lengths.append(lengths)
        self._mean = scorer.mean(np.concatenate(self._values, axis=0))

    def as_json(self, scorer: Scorer) -> str:
        """All of it, to be sent, with what the reward failed at first."""
        values, lengths = (
            np.concatenate(each, axis=0).tolist() for each in (self._values, self._lengths)
        )
        failure = scorer.first_failure
        found = {"means": self._means, "values": values, "lengths": lengths, "failure": failure}
        return json.dumps(found)

    @classmethod
    def of_json(cls, parts: Sequence[str], scorer: Scorer) -> StepRewards:
        """The rewards of a step of which several processes have each written a part.

        The scorer learns what the reward failed at there.
        """
        found = cls()
        for part in map(json.loads, parts):
            scorer.first_failure = scorer.first_failure or part["failure"]
            found._means += part["means"]
            found._values.append(np.array(part["values"], np.float64))
            found._lengths.append(np.array(part["lengths"], np.int64))
        if parts:
            found._mean = scorer.mean(np.concatenate(found._values, axis=0))
        return found

    def figures(self) -> RewardFigures:
        """The figures of the step; NaN where nothing was written."""
        if not self._values:
            return RewardFigures(np.nan, np.nan, np.nan, np.nan, 0)
        values = np.concatenate(self._values, axis=0)
        return figures_of(
            self._mean, self._means, np.concatenate(self._lengths, axis=0), np.isnan(values).sum()
        )


def figures_of(
    mean: float, each: Sequence[float] | np.ndarray, lengths: np.ndarray, failures: int
) -> RewardFigures:
    """Figures of a mean reward, the rewards of members or completions, and lengths in tokens."""
    there = np.asarray(each, np.float64)
    there = there[~np.isnan(there)]
    best, spread = (there.max(), there.std()) if there.size else (np.nan, np.nan)
    return RewardFigures(mean, float(best), float(spread), float(lengths.mean()), int(failures))


def mean_figures(each: Sequence[RewardFigures]) -> RewardFigures:
    """The figures of several steps together: means, the best of all, and the sum of failures."""
    table = np.array(each, np.float64)
    present = [column[~np.isnan(column)] for column in table.T]
    mean, spread, length = (
        float(present[i].mean()) if present[i].size else np.nan for i in (0, 2, 3)
    )
    best = float(present[1].max()) if present[1].size else np.nan
    return RewardFigures(mean, best, spread, length, int(table[:, 4].sum()))

"""Scores the completions of a population, and keeps count of what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from zojax.lm.rewards._pool import RewardPool, Score
from zojax.lm.rewards._source import read_reward
from zojax.lm.rewards._worker import score_here, takes_lists

Reward: TypeAlias = Callable[..., Any]
"""``reward(completion, row) -> float``, or ``reward(completions, rows) -> list of floats``."""

Failure: TypeAlias = float | str
"""The score of a completion at which the reward fails; ``"drop"`` to leave it out."""


class RewardRow(NamedTuple):
    """A prompt that completions are scored for."""

    values: Mapping[str, Any]  # the columns, as the reward gets them
    where: str  # the file and the line
    prompt: str  # the text that the model goes on with


class Rewards(NamedTuple):
    """The scores of M members' completions to the same R prompts."""

    values: np.ndarray  # float64 [M, R]: NaN where the reward failed
    losses: np.ndarray  # float32 [M]: minus each member's mean; NaN where it has no score

    @property
    def failures(self) -> int:
        """How many completions the reward failed at."""
        return int(np.isnan(self.values).sum())


class Scorer:
    """Scores completions by a reward, in processes of its own or, for a Python function, in this.

    Equal completions of a row are scored once in a call.

    Args:
      where: The beginning of the message of an error.
      reward: What :func:`read_reward` reads, or a function, which is called in this process and has
        no time limit.
      failure: ``"drop"``, or the score of a completion at which the reward fails.
      seconds: The time limit of a call.
      processes: Most processes.

    Attributes:
      first_failure: What the reward failed at first, and the row; None so far.
    """

    first_failure: str | None = None

    def __init__(
        self,
        where: str,
        reward: str | Reward,
        *,
        failure: Failure = "drop",
        seconds: float = 10.0,
        processes: int | None = None,
    ) -> None:
        self._failure = failure if isinstance(failure, str) else float(failure)
        self._pool: RewardPool | None = None
        if isinstance(reward, str):
            source = read_reward(where, reward)
            self._pool = RewardPool(where, source, seconds=seconds, processes=processes)
        else:
            self._function, self._batched = reward, takes_lists(reward)

    def score(self, completions: Sequence[str], rows: Sequence[RewardRow]) -> np.ndarray:
        """Score completions, each of a row: float64 [n], NaN where the reward fails."""
        pairs = [(text, id(row)) for text, row in zip(completions, rows, strict=True)]
        places = {pair: place for place, pair in reversed([*enumerate(pairs)])}
        order = sorted(places.values())
        texts, values = [completions[i] for i in order], [rows[i].values for i in order]
        scores = dict(zip(order, self._scores(texts, values), strict=True))
        for place, score in scores.items():
            if score.value is None and self.first_failure is None:
                self.first_failure = f"the reward failed at {rows[place].where}: {score.problem}"
        found = [scores[places[pair]].value for pair in pairs]
        return np.array([np.nan if value is None else value for value in found], np.float64)

    def population(
        self, completions: Sequence[Sequence[str]], rows: Sequence[RewardRow]
    ) -> Rewards:
        """Score M members' completions to the same R rows.

        A completion that is left out counts as much as the mean of the other members' to the same
        row: neither for its member nor against it. With no score at all of a row, the row counts
        for nobody.
        """
        flat = [text for member in completions for text in member]
        values = self.score(flat, [*rows] * len(completions)).reshape(len(completions), len(rows))
        return Rewards(values, -self._means(values).astype(np.float32))

    def mean(self, values: np.ndarray) -> float:
        """The mean score of completions, those that failed scored as asked; NaN if none is left."""
        if isinstance(self._failure, float):
            values = np.where(np.isnan(values), self._failure, values)
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else np.nan

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()

    def _means(self, values: np.ndarray) -> np.ndarray:
        if isinstance(self._failure, float):
            return np.where(np.isnan(values), self._failure, values).mean(axis=1)
        there = ~np.isnan(values)
        if len(values) > 1:
            sums = np.where(there, values, 0.0).sum(axis=0)
            usual = np.divide(sums, there.sum(axis=0), where=there.any(axis=0), out=sums)
            filled = np.where(there, values, usual)[:, there.any(axis=0)]
            # Where all of them failed at everything, no member is better than another.
            return filled.mean(axis=1) if filled.size else np.zeros(len(values))
        return np.array([self.mean(values)])

    def _scores(self, texts: list[str], rows: list[Mapping[str, Any]]) -> list[Score]:
        if self._pool is not None:
            return self._pool.score(texts, rows)
        found = score_here(self._function, self._batched, texts, [dict(row) for row in rows])
        return [Score(each.get("score"), each.get("error", "")) for each in found]

"""Rewards of a set of prompts, and a few of the texts that they are for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.rewards import PromptBatch, RewardRow, RewardTask, completions_of, figures_of
from zojax.lm.sequences import NextToken
from zojax.lm.settings import FinetuneConfig
from zojax.lm.tasks import Objective
from zojax.lm.training._evaluation import CompiledTotals, Evaluation, Measured, Scores
from zojax.lm.training._step import CompiledByShape

_SHOWN = 4


class ToWrite(NamedTuple):
    """A batch of prompts to write completions of."""

    batch: PromptBatch
    rows: tuple[RewardRow, ...]  # without those that only fill the batch up


class RewardTotals:
    """Writes completions and scores them; as :class:`CompiledTotals` for other tasks.

    Args:
      task: Writes and scores.
      announce: Called with a line that says what is being compiled.
      spread: The run's devices.
      compiled: Called with what was compiled, and the seconds that it took.

    Attributes:
      samples: Of what was measured last, the first prompts with their completions and rewards, in
        the types of JSON.
    """

    samples: Sequence[dict[str, Any]] = ()

    def __init__(
        self,
        task: RewardTask,
        announce: Callable[[str], None],
        spread: Spread,
        compiled: Callable[[str, float], None] | None = None,
    ) -> None:
        self._task = task
        where: Any = {"place": spread.shared_rows, "out_shardings": spread.everywhere}
        self._write = CompiledByShape(task.write, "decoding", announce, compiled=compiled, **where)

    @property
    def seconds(self) -> float:
        """Time that compiling has taken, in seconds."""
        return self._write.seconds

    def measure(self, params: Params, examples: Measured) -> Evaluation:
        """Measure ``params`` on prompts.

        Cost: decoding, and a call of the reward for each completion.
        """
        prompts = [each for each in examples.prompts if isinstance(each, ToWrite)]
        self._write.prepare(*((params, each.batch) for each in prompts))
        written = [self._write(params, each.batch) for each in prompts]
        texts: list[str] = []
        rows: list[RewardRow] = []
        lengths: list[np.ndarray] = []
        for tokens, each in zip(written, prompts, strict=True):
            found, whose = completions_of(self._task, np.asarray(tokens), each.rows)
            texts += found
            rows += whose
            lengths.append((np.asarray(tokens)[: len(found)] >= 0).sum(axis=1))
        values = self._task.scorer.score(texts, rows)
        mean = self._task.scorer.mean(values)
        figures = figures_of(mean, values, np.concatenate(lengths), np.isnan(values).sum())
        # A model of which nothing can be scored is worse than any other.
        reward = -np.inf if np.isnan(mean) else mean
        self.samples = _shown(texts, rows, values)
        scores = Scores(
            None,
            -float(reward),
            len({id(row) for row in rows}),
            reward=float(reward),
            reward_best=figures.best,
            reward_spread=figures.spread,
            length=figures.length,
            failures=figures.failures,
        )
        return Evaluation(scores, None)


def totals_of(
    task: Objective | NextToken | RewardTask,
    announce: Callable[[str], None],
    spread: Spread = Spread(),  # noqa: B008 (frozen)
    compiled: Callable[[str, float], None] | None = None,
    *,
    confusion: bool = False,
) -> CompiledTotals | RewardTotals:
    """What measures a task: see :class:`CompiledTotals` and :class:`RewardTotals`."""
    if isinstance(task, RewardTask):
        return RewardTotals(task, announce, spread, compiled)
    return CompiledTotals(task, announce, spread, compiled, confusion=confusion)


def refuse_failure(
    config: FinetuneConfig, task: Objective | NextToken | RewardTask, dev: Scores
) -> None:
    """Refuse a reward that fails at everything before the first step.

    Raises:
      ValueError: It does, and there is no score for that.
    """
    if isinstance(task, RewardTask) and dev.reward == -np.inf:
        raise ValueError(
            f"finetune: reward must score completions, got a failure at each of those to "
            f"{dev.examples} prompts of dev. First {task.scorer.first_failure}. Correct "
            f"{config.scoring.reward}, or give such completions a score with --reward-failure "
            "(reward_failure)."
        )


def _shown(
    texts: Sequence[str], rows: Sequence[RewardRow], values: np.ndarray
) -> list[dict[str, Any]]:
    """The completions of the first prompts of the files, whatever their place in a batch."""
    first = {row.where: row for row in rows}
    chosen = [*sorted(first)][:_SHOWN]
    return [
        {
            "row": row.where,
            "prompt": row.prompt,
            "completion": text,
            "reward": None if np.isnan(value) else float(value),
        }
        for text, row, value in sorted(
            zip(texts, rows, values, strict=True), key=lambda each: each[1].where
        )
        if row.where in chosen
    ]

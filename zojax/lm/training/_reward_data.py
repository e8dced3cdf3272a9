"""Reads and splits the prompts of a run that raises a reward."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from zojax.lm.models import LanguageModel, ModelInput
from zojax.lm.rewards import (
    Prompt,
    RewardSet,
    RewardTask,
    Scorer,
    Writing,
    read_prompts_of,
    read_reward,
)
from zojax.lm.sequences import SequenceTokens
from zojax.lm.settings import DataConfig, FinetuneConfig, RewardConfig
from zojax.lm.tasks import Fixes, divide_rows
from zojax.lm.training._kind import columns_of
from zojax.lm.training._report import DataReport, reasons_of, summary_of
from zojax.lm.training._sequence_data import at_most, files_of, tokens_of, with_day

_FIXES = Fixes(
    "finetune",
    "Correct the rows, or leave these out with --skip-bad-rows (skip_bad_rows)",
    "Name yours with --prompt-column or --messages-column, or the column of a reward in its name",
)
_EVALUATES = Fixes("evaluate_run", "Correct the rows", "Rename the columns")

T = TypeVar("T")


class PreparedRewards(NamedTuple):
    """The prompts of a run, read and checked before the model's weights are loaded."""

    config: FinetuneConfig  # the run's, with all that the rows decide
    tokens: SequenceTokens
    sets: dict[str, RewardSet]  # of train, dev and test
    report: RewardReport
    scorer: Scorer


@dataclass(frozen=True)
class RewardReport(DataReport):
    """The data of a run that raises a reward.

    Attributes:
      reward: What scores completions.
      completions: Completions of a prompt.
      max_new_tokens: Most tokens of one.
    """

    reward: str = ""
    completions: int = 1
    max_new_tokens: int = 0

    def _kind(self) -> list[str]:
        rows = "conversations" if self.kind == "chat" else "prompts"
        return [f"{rows} to go on with, scored by {self.reward}"]

    def _tokens(self) -> list[str]:
        each = "a completion" if self.completions == 1 else f"{self.completions} completions"
        return [*self._lengths(), f"{each} of a prompt, up to {self.max_new_tokens} tokens"]


def prepare_rewards(config: FinetuneConfig, reads: ModelInput) -> PreparedRewards:
    """Read, check, tokenise and split the prompts of a run, and load its reward.

    Args:
      config: The configuration, with the kind of its rows.
      reads: What the model reads.

    Raises:
      FileNotFoundError, ImportError: A file or a package is missing.
      ValueError: A setting, the reward or rows are wrong.
    """
    scoring = config.scoring
    source = read_reward("finetune", scoring.reward or "")
    tokens = tokens_of(config, reads)
    config = dataclasses.replace(config, data=with_day(config.data, tokens))
    data, files = config.data, files_of(config.data)
    read = read_prompts_of(
        files,
        tokens,
        columns_of(data),
        longest=_room(config, reads),
        needed=source.columns,
        skip_wrong=data.skip_bad_rows,
        fixes=_FIXES,
    )
    sets = {name: RewardSet(part) for name, part in _split(data, read.prompts, config.seed).items()}
    lengths = np.concatenate([part.lengths_of("prompt") for part in sets.values()])
    trained = {prompt.row.prompt for prompt in sets["train"].prompts}
    report = RewardReport(
        kind=data.kind,
        rows={name: len(part) for name, part in sets.items()},
        files={str(path): len(read.prompts[name]) for name, path in files.items()},
        split_off=tuple(name for name in ("dev", "test") if name not in files),
        classes={},
        majority=None,
        tokens=summary_of(lengths, tokens.max_length),
        cut=0,
        rows_of_an_example=1,
        repeated=sum(prompt.row.prompt in trained for prompt in sets["test"].prompts),
        skipped=len(read.wrong),
        reasons=reasons_of(read.wrong),
        reward=scoring.reward or "",
        completions=scoring.samples,
        max_new_tokens=scoring.most_new_tokens,
    )
    return PreparedRewards(config, tokens, sets, report, scorer_of(scoring, "finetune"))


def scorer_of(scoring: RewardConfig, where: str) -> Scorer:
    """What scores the completions of a run; to be closed.

    Raises:
      RewardError: The reward cannot be loaded.
    """
    return Scorer(
        where,
        scoring.reward or "",
        failure=scoring.reward_failure,
        seconds=scoring.reward_seconds,
        processes=scoring.reward_processes,
    )


def reward_task(
    config: FinetuneConfig, model: LanguageModel, tokens: SequenceTokens, scorer: Scorer
) -> RewardTask:
    """What writes completions with a model, and scores them."""
    scoring = config.scoring
    writing = Writing(
        scoring.most_new_tokens, scoring.temperature, scoring.top_p, scoring.samples, config.seed
    )
    return RewardTask(model, tokens, writing, scorer)


def read_reward_set(
    config: FinetuneConfig, model: LanguageModel, tokens: SequenceTokens, path: Path
) -> RewardSet:
    """Read all prompts of another file, with the columns of a run's rows.

    Raises:
      FileNotFoundError, ImportError, ValueError: As for :func:`prepare_rewards`.
    """
    read = read_prompts_of(
        {"data": path},
        tokens,
        columns_of(config.data),
        longest=_room(config, model),
        needed=read_reward("evaluate_run", config.scoring.reward or "").columns,
        skip_wrong=False,
        fixes=_EVALUATES,
    )
    return RewardSet(read.prompts["data"])


def _room(config: FinetuneConfig, model: LanguageModel | ModelInput) -> int:
    """Most tokens of a prompt: it leaves room for a completion.

    Raises:
      ValueError: There is none for a prompt.
    """
    new = config.scoring.most_new_tokens
    if new >= model.max_length:
        raise ValueError(
            f"finetune: max_new_tokens must be less than the {model.max_length} positions of the "
            f"model, got {new}. Lower --max-new-tokens (max_new_tokens)."
        )
    return min(config.data.most_tokens, model.max_length - new)


def _split(
    data: DataConfig, read: dict[str, tuple[Prompt, ...]], seed: int
) -> dict[str, tuple[Prompt, ...]]:
    divided = divide_rows(
        read,
        ("dev", "test"),
        lambda _: 0,
        dev=data.dev_size,
        test=data.test_size,
        seed=seed,
        fixes=_FIXES,
    )
    sizes = {"train": data.train_size, "dev": data.dev_size, "test": data.test_size}
    return {name: tuple(at_most(divided[name], sizes[name], seed)) for name in sizes}

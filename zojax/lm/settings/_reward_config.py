"""The part of a run's configuration that says how what the model writes is scored."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RewardConfig:
    """The reward of what the model writes, and how it writes."""

    reward: str | None = None
    """What scores each completion, higher is better: FILE.py:function, your own code, which is run;
    or words:NUMBER, regex:PATTERN, exact:COLUMN, json_schema:FILE, classifier:RUN:LABEL. The rows
    of --train are prompts then."""
    reward_failure: float | Literal["drop"] = "drop"
    """The score of a completion at which the reward raises, hangs, dies, or returns no number; drop
    leaves it out."""
    reward_seconds: float = 10.0
    """Time limit of a call of the reward; for a function of lists, of each completion in them."""
    reward_processes: int | None = None
    """Most processes that the reward runs in; without it, as many as there are cores."""
    max_new_tokens: int | None = None
    """Most tokens of a completion, which ends at the end of sequence or of a turn; without it,
    64."""
    temperature: float = 0.0
    """Draw tokens at this temperature, by the same noise for all members of a population; 0 takes
    the most likely ones."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that have this probability together."""
    samples: int = 1
    """Completions of a prompt, with a temperature."""

    @property
    def most_new_tokens(self) -> int:
        """``max_new_tokens``, or what is taken without it."""
        return 64 if self.max_new_tokens is None else self.max_new_tokens


def check_reward(config: RewardConfig) -> None:
    """Refuse wrong settings, and settings about completions without a reward.

    Raises:
      ValueError: A setting is wrong.
    """
    if config.reward is None:
        for one in dataclasses.fields(RewardConfig):
            if (value := getattr(config, one.name)) != one.default:
                raise ValueError(
                    f"finetune: {one.name} needs reward, got {value} without one. Give --reward "
                    "(reward) too, or leave it out."
                )
        return
    check_completions(
        "finetune",
        max_new_tokens=config.most_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        samples=config.samples,
        reward_failure=config.reward_failure,
        reward_seconds=config.reward_seconds,
        reward_processes=config.reward_processes,
    )


def check_completions(
    where: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    samples: int,
    reward_failure: float | str,
    reward_seconds: float,
    reward_processes: int | None,
) -> None:
    """Refuse wrong settings of how completions are written and scored.

    Args:
      where: The function that the user called.
      max_new_tokens, temperature, top_p, samples, reward_failure, reward_seconds, reward_processes:
        As in :class:`RewardConfig`.

    Raises:
      ValueError: A setting is wrong.
    """
    counts = {"max_new_tokens": max_new_tokens, "samples": samples}
    for name, value in {**counts, "reward_processes": reward_processes}.items():
        if value is not None and value < 1:
            raise ValueError(f"{where}: {name} must be >= 1, got {value}.")
    if not 0 < reward_seconds < math.inf:
        raise ValueError(f"{where}: reward_seconds must be positive, got {reward_seconds}.")
    is_number = isinstance(reward_failure, float | int) and math.isfinite(reward_failure)
    if reward_failure != "drop" and not is_number:
        raise ValueError(
            f"{where}: reward_failure must be drop or a finite number, got {reward_failure!r}."
        )
    if not 0 <= temperature < math.inf:
        raise ValueError(f"{where}: temperature must be >= 0, got {temperature}.")
    if not 0 < top_p <= 1:
        raise ValueError(f"{where}: top_p must lie within (0, 1], got {top_p}.")
    if temperature:
        return
    for name, value in (("samples", samples), ("top_p", top_p)):
        if value != 1:
            raise ValueError(
                f"{where}: {name} must be 1 at temperature 0, where each prompt has one "
                f"completion, of the most likely tokens, got {value}. Give a temperature too."
            )

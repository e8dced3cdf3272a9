"""Rewards as an objective, for a loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.models import LanguageModel, Params
from zojax.lm.rewards._rows import prompt_of
from zojax.lm.rewards._scorer import Failure, Reward, Scorer
from zojax.lm.rewards._set import PromptBatch, RewardSet
from zojax.lm.rewards._statistics import RewardFigures
from zojax.lm.rewards._task import RewardTask, Writing
from zojax.lm.sequences import Columns, read_chat_template, sequence_tokens
from zojax.lm.settings import check_completions

_WHERE = "reward_objective"


class RewardObjective:
    """Minus the mean reward of what a model writes; made by :func:`reward_objective`.

    Used as a context manager, or closed, which ends the processes of the reward.
    """

    def __init__(self, task: RewardTask, prompts: RewardSet) -> None:
        self._task, self._loss = task, task.loss_of(prompts)
        whole = np.arange(len(prompts))
        self._all = prompts.batch(whole, int(prompts.lengths_of("prompt").max()), len(prompts))

    def __call__(self, params: Params, members: Any, step: Any = 1) -> Array:
        """Write completions of some prompts and score them.

        Args:
          params: A tree shaped like the model's ``params``.
          members: int32 [B]: which of the prompts.
          step: int32 []: with temperature the number that decides, with the prompt, what is drawn.

        Returns:
          float32 []: minus the mean reward; NaN if it has failed at every completion, and those are
          left out.
        """
        places = jnp.asarray(members, jnp.int32)
        arrays: Any = (
            jnp.asarray(self._all.input_ids)[places],
            jnp.asarray(self._all.attention_mask)[places],
            jnp.ones(places.shape, jnp.float32),
            places,
            jnp.asarray(step, jnp.int32),
        )
        return self._loss(params, PromptBatch(*arrays))

    def figures(self) -> dict[int, RewardFigures]:
        """The figures of the steps that were evaluated since this was last called, by step."""
        found = {step: rewards.figures() for step, rewards in sorted(self._task.steps.items())}
        self._task.steps.clear()
        return found

    @property
    def first_failure(self) -> str | None:
        """What the reward failed at first, and where; None so far."""
        return self._task.scorer.first_failure

    def close(self) -> None:
        """End the processes of the reward."""
        self._task.scorer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def reward_objective(
    model: LanguageModel,
    reward: str | Reward,
    prompts: Sequence[Mapping[str, Any]],
    *,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    samples: int = 1,
    seed: int = 0,
    reward_failure: Failure = "drop",
    reward_seconds: float = 10.0,
    reward_processes: int | None = None,
) -> RewardObjective:
    """Make an objective of a reward: a Python function of what the model writes.

    A reward is ``reward(completion: str, row: dict) -> float``, higher is better. If its first
    parameter is called ``completions`` it is a batch version, ``reward(completions: list[str],
    rows: list[dict]) -> list[float]``, and gets all completions of a step at once.

    Args:
      model: A causal model.
      reward: ``"FILE.py:function"``, or a reward that has a name, such as ``"words:10"``: it runs
        in processes of its own, where it has a time limit and what it prints is not seen. A
        function is called in this process, without a time limit.
      prompts: Rows with a ``prompt``, or with ``messages`` for a model that has a chat template.
        The reward gets the whole row.
      max_new_tokens: Most tokens of a completion, which the end of sequence or of a turn ends
        earlier.
      temperature: 0 for the most likely tokens; otherwise they are drawn, by the same noise at all
        points of a step.
      top_p: Draw from the likeliest tokens that have this probability together.
      samples: Completions of a prompt; more than 1 needs a temperature.
      seed: Of that noise.
      reward_failure: The score of a completion at which the reward raises, takes too long, dies, or
        returns something else than a finite number; ``"drop"`` leaves it out, so that it counts
        neither for the point that wrote it nor against it.
      reward_seconds: The time limit of a call; of a batch version, for each completion.
      reward_processes: Most processes; None for as many as there are cores.

    Returns:
      ``objective(params, members, step) -> float32 []``, to be closed in the end.

    Cost: that of :func:`zojax.lm.decoding.greedy` or :func:`zojax.lm.decoding.sample`, and a call
      from the compiled program to Python, for which the device waits. Equal completions of a prompt
      are scored once.
    Error: that of any step function, see :func:`zojax.lm.decoding.text_objective`.

    Raises:
      FileNotFoundError, ImportError: The reward's file, or a package that it needs, is not there.
      RewardError: The reward cannot be loaded.
      ValueError: A setting or a prompt is wrong.

    Examples:
      Twenty steps towards sentences of ten words::

          with zojax.lm.reward_objective(model, "words:10", prompts) as objective:
              tx = zojax.es(1e-3, eps=1e-2, key=0, population=16)
              ...
              value_fn = lambda params: objective(params, members, count)
    """
    writing = Writing(max_new_tokens, temperature, top_p, samples, seed)
    check_completions(
        _WHERE,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        samples=samples,
        reward_failure=reward_failure,
        reward_seconds=reward_seconds,
        reward_processes=reward_processes,
    )
    if not prompts:
        raise ValueError(f"{_WHERE}: prompts must be one at least, got none.")
    if model.kind != "causal":
        raise ValueError(
            f"{_WHERE}: model must be causal, got a masked one, which writes no text. Take OPT, "
            "LLaMA, Qwen or another causal model."
        )
    columns, is_chat = Columns(), "messages" in prompts[0]
    longest = model.max_length - max_new_tokens
    tokens = sequence_tokens(
        "chat" if is_chat else "instruction",
        model.tokenizer,
        model.max_length,
        template=read_chat_template(model.tokenizer, model.source) if is_chat else None,
        vocab_size=model.config.vocab_size,
    )
    rows = tuple(
        prompt_of(_WHERE, row, f"prompt {place}", tokens, columns, longest)
        for place, row in enumerate(prompts)
    )
    scorer = Scorer(
        _WHERE,
        reward,
        failure=reward_failure,
        seconds=reward_seconds,
        processes=reward_processes,
    )
    return RewardObjective(RewardTask(model, tokens, writing, scorer), RewardSet(rows))

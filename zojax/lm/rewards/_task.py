"""A model that writes completions, and their rewards as a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.decoding import greedy, row_keys, sample
from zojax.lm.models import LanguageModel, Params
from zojax.lm.rewards._scorer import RewardRow, Scorer
from zojax.lm.rewards._set import PromptBatch, RewardSet
from zojax.lm.rewards._statistics import StepRewards
from zojax.lm.sequences import SequenceTokens, answer_stops, answer_text


class Writing(NamedTuple):
    """How completions are written."""

    max_new_tokens: int = 64  # N, the most tokens of a completion
    temperature: float = 0.0  # 0 for the most likely tokens
    top_p: float = 1.0  # the probability of the tokens that are drawn from
    samples: int = 1  # S, completions of a prompt
    seed: int = 0  # of the noise


@dataclass(frozen=True, eq=False)
class RewardTask:
    """Write completions, and score them.

    Attributes:
      model: The language model; its ``params`` are not used, because methods take parameters.
      tokens: How texts become tokens.
      writing: How completions are written.
      scorer: Scores them.
      steps: The rewards of the steps that were taken since they were last read, by step.
    """

    model: LanguageModel
    tokens: SequenceTokens
    writing: Writing
    scorer: Scorer
    steps: dict[int, StepRewards] = field(default_factory=dict)

    def write(self, params: Params, batch: PromptBatch) -> Array:
        """Write S completions of each prompt.

        What is drawn depends on the seed, the step, the prompt and the number of the sample, and
        not on the parameters: all members of a population have the same luck.

        Returns:
          int32 [B · S, N], those of a prompt one after the other; -1 after the end.
        """
        how = self.writing
        ids, mask = (
            jnp.repeat(jnp.asarray(x), how.samples, axis=0)
            for x in (batch.input_ids, batch.attention_mask)
        )
        stops = answer_stops(self.model.tokenizer, self.tokens)
        settings: Any = {"max_new_tokens": how.max_new_tokens, "stop_tokens": stops}
        if not how.temperature:
            return greedy(self.model, params, ids, mask, **settings)
        rows = jnp.repeat(jnp.asarray(batch.members), how.samples)
        number = jnp.tile(jnp.arange(how.samples), len(batch.members))
        return sample(
            self.model,
            params,
            ids,
            mask,
            keys=row_keys(jax.random.key(how.seed), batch.step, rows, number),
            temperature=how.temperature,
            top_p=how.top_p,
            **settings,
        )

    def texts(self, written: np.ndarray) -> list[str]:
        """The texts of completions, int32 [n, N]."""
        return [answer_text(self.model.tokenizer, self.tokens, row) for row in written]

    def loss_of(self, prompts: RewardSet) -> _Loss:
        """Return ``loss(params, batch)``, minus the mean reward of a batch of these prompts."""
        return _Loss(self, prompts)


@dataclass(frozen=True, eq=False)
class _Loss:
    """Minus the mean reward of the completions of a batch of prompts, float32 [].

    With all points of a step in one pass Python is called once, with the completions of all.
    """

    task: RewardTask
    prompts: RewardSet

    def __call__(self, params: Params, batch: PromptBatch) -> Array:
        written = self.task.write(params, batch)
        return jax.pure_callback(
            self._losses,
            jax.ShapeDtypeStruct((), jnp.float32),
            written,
            jnp.asarray(batch.members),
            jnp.asarray(batch.step),
            vmap_method="expand_dims",
        )

    def _losses(self, written: Array, members: Array, step: Array) -> np.ndarray:
        tokens = np.asarray(written)
        rows = self.prompts.rows(np.asarray(members).reshape(-1).tolist())
        rows = [row for row in rows for _ in range(self.task.writing.samples)]
        population = tokens.reshape(-1, *tokens.shape[-2:])
        found = self.task.scorer.population([self.task.texts(each) for each in population], rows)
        record = self.task.steps.setdefault(int(np.asarray(step).reshape(-1)[0]), StepRewards())
        record.add(found, (population >= 0).sum(axis=-1), self.task.scorer)
        return found.losses.reshape(tokens.shape[:-2])


def completions_of(
    task: RewardTask, written: np.ndarray, rows: Sequence[RewardRow]
) -> tuple[list[str], list[RewardRow]]:
    """The texts of an evaluation's batch, without those that only fill it up, and their rows."""
    samples = task.writing.samples
    kept = written[: len(rows) * samples]
    return task.texts(kept), [row for row in rows for _ in range(samples)]

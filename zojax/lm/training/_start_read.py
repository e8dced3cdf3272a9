"""What starts are fitted to: scores of the label words and features, of all rows of a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.settings import FinetuneConfig
from zojax.lm.tasks import (
    Batch,
    Classification,
    PromptSet,
    View,
    bucket_lengths,
    evaluation_batches,
)
from zojax.lm.training._step import CompiledByShape


class Rows(NamedTuple):
    """N examples, as a start reads them."""

    labels: np.ndarray  # int64 [N]
    scores: np.ndarray  # float32 [N, C], of the label words; [N, 0] if they were not asked for
    features: np.ndarray  # float32 [N, H]; [N, 0] if they were not asked for
    rows: dict[str, int]  # rows of tokens read for "scores" and for "features"
    read: int  # rows of tokens read in all: a row may serve both


class StartReader:
    """Reads splits batch by batch, in the memory of inference.

    Args:
      config: The run's configuration.
      task: The task, whose model has label words.
      params: Its parameters.
      words, features: What to read.
      spread: The run's devices.
      announce: Called with a line that says what is being compiled.
      compiled: Called with what was compiled, and the seconds that it took.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        task: Classification,
        params: Params,
        *,
        words: bool,
        features: bool,
        spread: Spread,
        announce: Callable[[str], None],
        compiled: Callable[[str, float], None],
    ) -> None:
        self._config, self._task, self._params = config, task, params
        self._words, self._features = words, features

        def program(function: Callable[[Params, Batch], tuple[Array, Array]]) -> CompiledByShape:
            return CompiledByShape(
                function,
                "the forward pass",
                announce,
                place=spread.shared_rows,
                out_shardings=spread.everywhere,
                compiled=compiled,
            )

        self._both = program(self._of_prompt)
        self._candidates = program(self._of_candidates)

    @property
    def seconds(self) -> float:
        """Time that compiling has taken, in seconds."""
        return self._both.seconds + self._candidates.seconds

    def of(self, prompts: PromptSet) -> Rows:
        """Read all examples of a split.

        Cost: one forward pass over the prompts; if label words of several tokens are read, another
          one over each prompt with each word.
        """
        together = self._task.tokens.one_token
        count, width = len(prompts), self._task.tokens.num_classes
        scores, features = np.zeros((count, 0), np.float32), np.zeros((count, 0), np.float32)
        read = 0
        if self._features or together:
            found, features = self._in_order(self._both, prompts, "prompt")
            scores = found if together else scores
            read += count
        if self._words and not together:
            scores, _ = self._in_order(self._candidates, prompts, "candidates")
            read += count * width
        labels = np.array([example.label for example in prompts.examples])
        rows = {"scores": count * (1 if together else width), "features": count}
        return Rows(labels, scores, features, rows, read)

    def _of_prompt(self, params: Params, batch: Batch) -> tuple[Array, Array]:
        """Features, and the scores of words of one token, which need the same hidden states."""
        hidden = self._task.features(params, batch)
        none = jnp.zeros((len(hidden), 0), jnp.float32)
        scores, features = none, none
        if self._words and self._task.tokens.one_token:
            words = jnp.asarray(self._task.tokens.label_ids)[:, 0]
            scores = self._task.model.logits(params, hidden, words)
        if self._features:
            features = hidden.astype(jnp.float32)
        return scores, features

    def _of_candidates(self, params: Params, batch: Batch) -> tuple[Array, Array]:
        scores = self._task.scores(params, batch)
        return scores, jnp.zeros((len(scores), 0), jnp.float32)

    def _in_order(
        self, compiled: CompiledByShape, prompts: PromptSet, view: View
    ) -> tuple[np.ndarray, np.ndarray]:
        lengths = bucket_lengths(prompts.lengths_of(view), self._config.data.padded_lengths)
        longest = self._task.model.max_length
        buckets = tuple(min(length, longest) for length in lengths)
        batches = list(evaluation_batches(prompts, buckets, self._config.eval_batch_size, view))
        compiled.prepare(*((self._params, batch) for batch in batches))
        # All batches are dispatched before the first result is read, so that no device idles.
        found = [compiled(self._params, batch) for batch in batches]
        members = np.concatenate([batch.members[batch.weights > 0] for batch in batches])
        order = np.argsort(members)
        first, second = (
            np.concatenate(
                [
                    np.asarray(arrays[i])[: len(batch.weights)][batch.weights > 0]
                    for arrays, batch in zip(found, batches, strict=True)
                ]
            )[order]
            for i in (0, 1)
        )
        return first, second

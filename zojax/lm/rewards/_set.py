"""Tokenised prompts, and the arrays of a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from zojax.lm.rewards._rows import Prompt
from zojax.lm.rewards._scorer import RewardRow
from zojax.lm.tasks import View


class PromptBatch(NamedTuple):
    """B prompts of T tokens."""

    input_ids: np.ndarray  # int32 [B, T]: token ids, padded on the right
    attention_mask: np.ndarray  # int32 [B, T]: 1 for a token, 0 for padding
    weights: np.ndarray  # float32 [B]: 1 for a prompt, 0 for one that only fills the batch up
    members: np.ndarray  # int32 [B]: the index of each prompt in its set
    step: np.ndarray  # int32 []: the step that it is for, from 1; 0 for an evaluation


@dataclass(frozen=True)
class RewardSet:
    """Prompts, from which batches are made.

    Attributes:
      prompts: N prompts.
    """

    prompts: tuple[Prompt, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    def lengths_of(self, view: View) -> np.ndarray:
        """The tokens of each prompt, int64 [N]."""
        del view
        return np.array([len(prompt.ids) for prompt in self.prompts])

    def rows(self, members: Sequence[int]) -> list[RewardRow]:
        """The rows of some prompts."""
        return [self.prompts[i].row for i in members]

    def abstract_batch(self, length: int, size: int, view: View = "prompt") -> PromptBatch:
        """Return a batch of abstract arrays, with the shapes and dtypes to compile for."""
        shapes: list[Any] = [
            jax.ShapeDtypeStruct(x.shape, x.dtype)
            for x in self.batch(np.zeros(1, np.int64), self._longest, size, view)
        ]
        ids: Any = jax.ShapeDtypeStruct((size, length), np.int32)
        return PromptBatch(ids, ids, *shapes[2:])

    def batch(
        self, members: np.ndarray, length: int, size: int, view: View = "prompt"
    ) -> PromptBatch:
        """Make a batch of ``size`` prompts, padded to ``length`` tokens.

        Args:
          members: Indices of 1 to ``size`` prompts. If there are fewer than ``size``, the first one
            fills the batch up, with weight 0.
          length: T, at least the prompts' lengths.
          size: B.
          view: Not used: there is one.
        """
        del view
        places = np.concatenate([members, np.full(size - len(members), members[0])])
        ids = np.zeros((size, length), np.int32)
        mask = np.zeros_like(ids)
        for b, place in enumerate(places):
            prompt = self.prompts[place].ids
            ids[b, : len(prompt)] = prompt
            mask[b, : len(prompt)] = 1
        weights = (np.arange(size) < len(members)).astype(np.float32)
        return PromptBatch(ids, mask, weights, places.astype(np.int32), np.zeros((), np.int32))

    @property
    def _longest(self) -> int:
        return max(len(prompt.ids) for prompt in self.prompts)

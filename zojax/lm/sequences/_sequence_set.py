"""Tokenised rows of chats, instructions or plain text, and the arrays of a batch of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from zojax.lm.sequences._tokens import SequenceTokens, TokenText
from zojax.lm.tasks import Batch, View

# The number of predicted tokens of a row is rounded up to a multiple of this, so that different
# sets have equal shapes more often.
_MULTIPLE = 8


@dataclass(frozen=True)
class SequenceSet:
    """Rows of tokens, from which batches are made.

    Attributes:
      rows: N rows.
      whole: The texts that they are of, before they were cut, or cut into pieces.
      cut: How many texts lost their end; a plain text never does.
      left_out: How many texts are left out, for no token of an answer is within ``max_length``.
    """

    rows: tuple[TokenText, ...]
    whole: tuple[TokenText, ...]
    cut: int = 0
    left_out: int = 0

    @classmethod
    def of(cls, texts: Sequence[TokenText], tokens: SequenceTokens) -> SequenceSet:
        """Cut texts to rows: a plain text into pieces, the others to their first tokens.

        Raises:
          ValueError: No row has a token to predict.
        """
        length = tokens.max_length
        if tokens.kind == "text":
            rows = [piece for text in texts for piece in text.pieces(length)]
        else:
            rows = [text.cut(length) for text in texts]
        kept = tuple(row for row in rows if row.num_learnt)
        if not kept:
            raise ValueError(
                f"finetune: max_length must reach an answer of one row at least, got {length} for "
                f"{len(texts)} rows. Raise max_length (--max-length)."
            )
        is_cut = tokens.kind != "text"
        return cls(
            kept,
            tuple(texts),
            sum(len(text.cut(len(text.ids)).ids) > length for text in texts) if is_cut else 0,
            len(rows) - len(kept),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """The number of tokens that each row's prediction reads, int64 [N]."""
        # The last token is only predicted.
        return np.array([len(row.ids) - 1 for row in self.rows])

    def lengths_of(self, view: View) -> np.ndarray:
        """The tokens that a view reads of each row, int64 [N]; see :meth:`batch`."""
        return self.lengths + 1 if view == "prompt" else self.lengths

    def abstract_batch(self, length: int, size: int, view: View = "training") -> Batch:
        """Return a batch of abstract arrays, with the shapes and dtypes to compile for."""
        shapes: Any = [
            jax.ShapeDtypeStruct(x.shape, x.dtype) for x in self._empty(length, size, view)
        ]
        return Batch(*shapes)

    def batch(self, members: np.ndarray, length: int, size: int, view: View = "training") -> Batch:
        """Make a batch of ``size`` rows, padded to ``length`` tokens.

        Args:
          members: Indices of 1 to ``size`` rows. If there are fewer than ``size``, the first one
            fills the batch up, with weight 0.
          length: T, at least the rows' :meth:`lengths_of` this view.
          size: B.
          view: ``"training"``: ``target_weights`` make the mean over examples of their sums the
            mean over all learnt tokens of the batch, in whatever parts the batch is read.
            ``"candidates"``: they are 1 for each learnt token. ``"prompt"``: the whole row is a
            prompt, with P = 1.
        """
        places = np.concatenate([members, np.full(size - len(members), members[0])])
        is_prompt = view == "prompt"
        batch = self._empty(length, size, view)
        batch.weights[: len(members)] = 1.0
        batch.members[:] = places
        for b, place in enumerate(places):
            row = self.rows[place]
            read = row.ids if is_prompt else row.ids[:-1]
            batch.input_ids[b, : len(read)] = read
            batch.attention_mask[b, : len(read)] = 1
            if is_prompt:
                batch.positions[b] = len(read) - 1
                continue
            positions = np.flatnonzero(row.learnt[1:])
            batch.positions[b, : len(positions)] = positions
            batch.targets[b, : len(positions)] = row.ids[positions + 1]
            batch.target_weights[b, : len(positions)] = 1.0
        if view == "training":
            learnt = batch.target_weights[: len(members)].sum(dtype=np.float64)
            np.multiply(batch.target_weights, len(members) / learnt, out=batch.target_weights)
        return batch

    def _empty(self, length: int, size: int, view: View) -> Batch:
        targets = 1 if view == "prompt" else self._most_targets(length)
        return Batch(
            input_ids=np.zeros((size, length), np.int32),
            attention_mask=np.zeros((size, length), np.int32),
            positions=np.zeros((size, targets), np.int32),
            targets=np.zeros((size, targets), np.int32),
            target_weights=np.zeros((size, targets), np.float32),
            labels=np.zeros(size, np.int32),
            right=np.ones((size, 1), bool),
            weights=np.zeros(size, np.float32),
            members=np.zeros(size, np.int32),
        )

    def _most_targets(self, length: int) -> int:
        """P, the same for all batches of a padded length: the head is applied to as many tokens."""
        most = int(self._learnt[self.lengths <= length].max(initial=1))
        return min(length, _MULTIPLE * -(-most // _MULTIPLE))

    @functools.cached_property
    def _learnt(self) -> np.ndarray:
        return np.array([row.num_learnt for row in self.rows])

"""Tokenised examples, and the arrays of a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from zojax.lm.tasks._example import Example
from zojax.lm.tasks._tokens import PromptTokens, TokenRow

View = Literal["training", "candidates", "prompt"]
# The number of predicted tokens of a row is rounded up to a multiple of this, so that different
# sets of examples have equal shapes more often.
_MULTIPLE = 8


class Batch(NamedTuple):
    """B examples as R rows of T tokens; P positions of each row have predictions.

    With one row for each of an example's C candidates, R = B · C. Examples have a single row, R =
    B, if all label words are single tokens, in training batches of multiple choice, and in
    generation.
    """

    input_ids: np.ndarray  # int32 [R, T]: token ids, padded on the right
    attention_mask: np.ndarray  # int32 [R, T]: 1 for a token, 0 for padding
    positions: np.ndarray  # int32 [R, P]: positions whose outputs predict the candidate's tokens
    targets: np.ndarray  # int32 [R, P]: tokens of the row's candidate, or of the right one
    # float32 [R, P]: each token's weight in its row's sum: 1 / L for the L tokens of a candidate; 0
    # where nothing is predicted.
    target_weights: np.ndarray
    labels: np.ndarray  # int32 [B]: the right candidate that is trained on
    right: np.ndarray  # bool [B, C]: whether each candidate is right
    weights: np.ndarray  # float32 [B]: 1 for an example, 0 for one that only fills the batch up
    members: np.ndarray  # int32 [B]: the index of each example in its set


@dataclass(frozen=True)
class PromptSet:
    """Tokenised examples, from which batches are made.

    Attributes:
      tokens: The prompt's tokens.
      examples: N examples.
      rows: The rows of each example, see :meth:`PromptTokens.encode`.
      num_candidates: C, the largest number of candidates of an example.
      num_targets: P, at least the number of tokens of the longest candidate.
    """

    tokens: PromptTokens
    examples: tuple[Example, ...]
    rows: tuple[tuple[TokenRow, ...], ...]
    num_candidates: int
    num_targets: int

    @classmethod
    def of(cls, examples: Sequence[Example], tokens: PromptTokens) -> PromptSet:
        """Tokenise ``examples``.

        Raises:
          ValueError: There are no examples, a label is not the number of a class, or ``max_length``
            is too small; see :meth:`PromptTokens.encode`.
        """
        labels = {example.label for example in examples}
        classes = tokens.num_classes
        if not labels or (classes and not labels <= set(range(classes))):
            raise ValueError(
                f"PromptSet: labels must lie within 0 … {classes - 1}, one for each label word, "
                f"got {sorted(labels)}."
            )
        rows = tuple(tokens.encode(examples))
        if classes:
            targets = tokens.label_ids.shape[1]
        else:
            longest = max(len(row.targets) for candidates in rows for row in candidates)
            targets = _MULTIPLE * -(-longest // _MULTIPLE)
        candidates = classes or max(map(len, rows))
        return cls(tokens, tuple(examples), rows, candidates, targets)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens of each example's longest row, int64 [N]."""
        return np.array([max(len(row.ids) for row in rows) for rows in self.rows])

    @property
    def whole_lengths(self) -> np.ndarray:
        """The tokens of each example's longest row before it was cut, with its label, int64 [N]."""
        # A causal model does not read the last token of a label, which it predicts.
        unread = self.tokens.kind == "causal"
        return self.lengths + np.array([rows[0].cut + unread for rows in self.rows])

    @property
    def prompt_lengths(self) -> np.ndarray:
        """The number of tokens of each example's prompt without an answer, int64 [N]."""
        return np.array([self._prompt_length(rows[0]) for rows in self.rows])

    def lengths_of(self, view: View) -> np.ndarray:
        """Tokens of each example's longest row in a view, int64 [N]; see :meth:`batch`."""
        return self.prompt_lengths if view == "prompt" else self.lengths

    def abstract_batch(self, length: int, size: int, view: View = "training") -> Batch:
        """Return a batch of abstract arrays, with the shapes and dtypes to compile for."""
        members = np.zeros(1, np.int64)
        shapes = self.batch(members, int(self.lengths.max()), size, view)
        return Batch(
            *(
                _abstract((x.shape[0], length) if i < 2 else x.shape, x.dtype)
                for i, x in enumerate(shapes)
            )
        )

    def batch(self, members: np.ndarray, length: int, size: int, view: View = "training") -> Batch:
        """Make a batch of ``size`` examples, whose rows are padded to ``length`` tokens.

        Args:
          members: Indices of 1 to ``size`` examples. If there are fewer than ``size``, the first
            one fills the batch up, with weight 0.
          length: T, at least the examples' :meth:`lengths_of` this view.
          size: B.
          view: ``"training"``: the rows that the training loss needs; for multiple choice that is
            the right choice alone. ``"candidates"``: the rows of all candidates. ``"prompt"``: the
            prompt without an answer, one row for each example, P = 1; a masked model's prompt has
            as many mask tokens as the first label word has tokens.
        """
        places = np.concatenate([members, np.full(size - len(members), members[0])])
        rows = [row for i in places for row in self._rows(i, view)]
        per_example = len(rows) // size
        num_targets = 1 if view == "prompt" else self.num_targets
        batch = Batch(
            input_ids=np.zeros((len(rows), length), np.int32),
            attention_mask=np.zeros((len(rows), length), np.int32),
            positions=np.zeros((len(rows), num_targets), np.int32),
            targets=np.zeros((len(rows), num_targets), np.int32),
            target_weights=np.zeros((len(rows), num_targets), np.float32),
            labels=np.zeros(size, np.int32),
            right=np.zeros((size, self.tokens.num_classes or per_example), bool),
            weights=(np.arange(size) < len(members)).astype(np.float32),
            members=places.astype(np.int32),
        )
        for r, row in enumerate(rows):
            length, count = len(row.ids), len(row.targets)
            batch.input_ids[r, :length] = row.ids
            batch.attention_mask[r, :length] = 1
            batch.positions[r, : len(row.positions)] = row.positions
            batch.targets[r, :count] = row.targets
            batch.target_weights[r, :count] = 1 / max(1, count)
        for b, i in enumerate(places):
            example = self.examples[i]
            alone = batch.right.shape[1] == 1
            batch.labels[b] = 0 if alone else example.label
            batch.right[b, [0] if alone else list(example.right)] = True
        return batch

    def _prompt_length(self, row: TokenRow) -> int:
        """Tokens of a row without its candidate, whose mask tokens a masked model reads."""
        return len(row.ids) if self.tokens.kind == "masked" else row.positions[0] + 1

    def _rows(self, example: int, view: View) -> Sequence[TokenRow]:
        rows = self.rows[example]
        if view == "prompt":
            row = rows[0]
            return [TokenRow(row.ids[: self._prompt_length(row)], row.positions[:1], [])]
        if self.tokens.task.kind != "multiple_choice":
            return rows
        if view == "training":
            return [rows[self.examples[example].label]]
        # An example with fewer choices is filled up with copies of a valid row that predict
        # nothing.
        empty = rows[0]._replace(positions=[], targets=[])
        return [*rows, *[empty] * (self.num_candidates - len(rows))]


def _abstract(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)

"""Rows of chats, instructions and plain text in a model's tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zojax.lm.sequences._chat_template import ChatTemplate
from zojax.lm.sequences._segments import Segment, Segments, SequenceKind
from zojax.lm.tasks import Pieces, check_ids

if TYPE_CHECKING:
    from zojax.lm.models import AnyTokenizer


class TokenText(NamedTuple):
    """A row's text in tokens."""

    ids: np.ndarray  # int32 [T]
    learnt: np.ndarray  # bool [T]: the tokens that the loss is on

    @property
    def num_learnt(self) -> int:
        """How many tokens are predicted: the first one of a row never is."""
        return int(self.learnt[1:].sum())

    def cut(self, length: int) -> TokenText:
        """The first ``length`` tokens, without those after the last one that is learnt."""
        places = np.flatnonzero(self.learnt[:length])
        end = int(places[-1]) + 1 if len(places) else 0
        return TokenText(self.ids[:end], self.learnt[:end])

    def pieces(self, length: int) -> list[TokenText]:
        """The whole text in pieces of at most ``length`` >= 2 tokens.

        A piece begins with the last token of the one before it, so that every token except the
        first one of the text is predicted, once.
        """
        starts = range(0, max(1, len(self.ids) - 1), length - 1)
        return [
            TokenText(self.ids[start : start + length], self.learnt[start : start + length])
            for start in starts
        ]


@dataclass(frozen=True)
class SequenceTokens:
    """How texts become tokens; made by :func:`sequence_tokens`.

    Attributes:
      kind: What the rows are.
      max_length: Most tokens of a row.
      vocab_size: The model's number of tokens.
      template: The chat template; None if the rows are no chats.
    """

    kind: SequenceKind
    max_length: int
    vocab_size: int | None
    template: ChatTemplate | None
    _pieces: Pieces
    _begin: tuple[int, ...]  # before every row; a chat template writes its own
    _end: tuple[int, ...]  # after every row; likewise

    def encode(self, rows: Sequence[Segments]) -> list[TokenText]:
        """Tokenise rows, whole.

        What comes before an answer has the tokens of a prompt, and no token has a part of both. A
        completion and a text end with the end-of-sequence token, which is learnt.

        Raises:
          ValueError: A token is not one of the model's.
        """
        starts = [[*itertools.accumulate(part.text for part in row)] for row in rows]
        whole = iter(self._pieces.encode((text, True) for row in starts for text in row))
        found: list[TokenText] = []
        for number, row in enumerate(rows):
            parts = _between([next(whole) for _ in row])
            if parts is None:
                # The text up to a boundary has other tokens than it has within the whole, so that
                # a token would lie on both sides: each part is tokenised by itself.
                texts = [(part.text, place == 0) for place, part in enumerate(row)]
                parts = self._pieces.encode(texts)
            found.append(self._joined(list(zip(row, parts, strict=True)), number))
        return found

    def encode_prompt(self, text: str) -> np.ndarray:
        """Tokenise what a model is to go on with, int32 [T]."""
        (ids,) = self._pieces.encode([(text, True)])
        check_ids(ids, self.vocab_size, "the prompt")
        return np.array([*self._begin, *ids], np.int32)

    def token_of(self, text: str) -> int | None:
        """The token that is all of a text within a row; None if the text has several."""
        (ids,) = self._pieces.encode([(text, False)])
        return ids[0] if len(ids) == 1 else None

    def _joined(self, parts: Sequence[tuple[Segment, list[int]]], number: int) -> TokenText:
        runs = [(self._begin, False), *((ids, part.learnt) for part, ids in parts)]
        runs.append((self._end, True))
        ids = [token for run, _ in runs for token in run]
        check_ids(ids, self.vocab_size, f"row {number}")
        learnt = np.repeat([learnt for _, learnt in runs], [len(run) for run, _ in runs])
        return TokenText(np.array(ids, np.int32), learnt)


def _between(starts: Sequence[list[int]]) -> list[list[int]] | None:
    """The tokens that each start of a text has more than the one before it.

    None if one does not begin with the tokens of the one before it.
    """
    parts: list[list[int]] = []
    before: list[int] = []
    for start in starts:
        if start[: len(before)] != before:
            return None
        parts.append(start[len(before) :])
        before = start
    return parts


def sequence_tokens(
    kind: SequenceKind,
    tokenizer: AnyTokenizer,
    max_length: int,
    *,
    template: ChatTemplate | None = None,
    vocab_size: int | None = None,
) -> SequenceTokens:
    """Return the object that tokenises rows.

    Args:
      kind: What the rows are.
      tokenizer: The model's tokenizer. Rows begin with its beginning-of-sequence token and end with
        its end-of-sequence token, if it has them; a chat has what its template writes.
      max_length: Most tokens of a row.
      template: The tokenizer's chat template, for chats.
      vocab_size: The model's number of tokens; larger ids are refused.

    Raises:
      ValueError: ``max_length`` is below 2: of a single token none is predicted.
    """
    if max_length < 2:
        raise ValueError(f"finetune: max_length must be >= 2 for {kind} rows, got {max_length}.")
    begin, end = (
        () if kind == "chat" or token is None else (int(token),)
        for token in (tokenizer.bos_token_id, tokenizer.eos_token_id)
    )
    return SequenceTokens(kind, max_length, vocab_size, template, Pieces(tokenizer), begin, end)

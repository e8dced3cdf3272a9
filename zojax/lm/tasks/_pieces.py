"""Token ids of pieces of a text, equal to those that the pieces have within the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from zojax.lm.models import AnyTokenizer


class Pieces:
    """Tokenises pieces of a text separately, as if they were in the text.

    Byte-level tokenizers (OPT, RoBERTa, SmolLM) need nothing special. Tokenizers like SentencePiece
    (LLaMA, Mistral) put a space before every input; a piece inside a text is therefore tokenised
    after a line break, which is a token of its own, and the line break's tokens are dropped.
    """

    def __init__(self, tokenizer: AnyTokenizer) -> None:
        self._tokenizer = tokenizer
        line_break, letter, both = self._ids(["\n", "x", "\nx"])
        self._line_break = line_break
        self._adds_space = both != line_break + letter and both[: len(line_break)] == line_break

    def encode(self, pieces: Iterable[tuple[str, bool]]) -> list[list[int]]:
        """Return the ids of each piece, given as (text, whether it begins the whole text)."""
        pieces = list(pieces)
        # Each distinct piece is tokenised once: prompts share most of their pieces.
        unique = list(dict.fromkeys(pieces))
        drop = len(self._line_break) if self._adds_space else 0
        texts = ["\n" + text if drop and not first else text for text, first in unique]
        ids = [
            row if first else row[drop:]
            for row, (_, first) in zip(self._ids(texts), unique, strict=True)
        ]
        known = dict(zip(unique, ids, strict=True))
        return [known[piece] for piece in pieces]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        encoding = self._tokenizer(list(texts), add_special_tokens=False)
        return cast("list[list[int]]", encoding["input_ids"])

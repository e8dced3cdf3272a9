"""Texts drawn from the corpus, as rows of tokens that know how much each token matters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerFast

from pretraining.corpus import Corpus, rotten_tomatoes_style, split_sentences
from pretraining.verdicts import draw_verdict

STREAM_SHARES = {"review": 0.50, "news": 0.12, "sentence": 0.38}  # of the stream's documents
VERDICT_WEIGHT = 4.0


class Row(NamedTuple):
    """Token ids and the loss weight of each."""

    ids: list[int]
    weights: list[float]


class RowMaker:
    """Draws training rows from the corpus.

    Args:
      corpus: The texts.
      tokenizer: Turns them into ids.
      rng: Makes every choice.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator
    ) -> None:
        self._corpus = corpus
        self._tokenizer = tokenizer
        self._rng = rng

    def segment(self) -> Row:
        """A few consecutive sentences of one review, then its verdict."""
        review = self._draw(self._corpus.reviews)
        text = self._style(self._segment_text(split_sentences(review.text)), share=0.6)
        return self._judged(text, review.label)

    def document(self) -> Row:
        """A review with its verdict, a news article or a Rotten Tomatoes sentence."""
        kind = self._rng.choice(list(STREAM_SHARES), p=list(STREAM_SHARES.values()))
        if kind == "news":
            return self._plain_row(self._draw(self._corpus.news))
        if kind == "sentence":
            return self._plain_row(self._draw(self._corpus.sentences))
        review = self._draw(self._corpus.reviews)
        return self._judged(self._style(review.text, share=0.3), review.label)

    def _draw(self, items: tuple[Any, ...]) -> Any:
        return items[self._rng.integers(len(items))]

    def _style(self, text: str, share: float) -> str:
        return rotten_tomatoes_style(text) if self._rng.random() < share else text

    def _segment_text(self, sentences: list[str]) -> str:
        """Take 1 to 3 sentences and at most 36 words, often from the opinionated two ends."""
        count = self._rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])
        last = max(len(sentences) - count, 0)
        place = self._rng.random()
        if place < 0.15:
            start = 0
        elif place < 0.45:
            start = last
        else:
            start = self._rng.integers(last + 1)
        return " ".join(" ".join(sentences[start : start + count]).split()[:36])

    def _judged(self, text: str, label: int) -> Row:
        # Parts are encoded one by one: a blank always begins with a space, where byte-level
        # tokenizers split anyway, and the weights need the border.
        pieces = [self._encode(part) for part in (text, *draw_verdict(label, self._rng))]
        weights = [1.0, 1.0, VERDICT_WEIGHT, 1.0]
        ids = [i for piece in pieces for i in piece]
        return self._row(ids, [w for w, piece in zip(weights, pieces, strict=True) for _ in piece])

    def _plain_row(self, text: str) -> Row:
        ids = self._encode(text)
        return self._row(ids, [1.0] * len(ids))

    def _row(self, ids: list[int], weights: list[float]) -> Row:
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        return Row([start, *ids, end], [0.0, *weights, 1.0])

    def _encode(self, text: str) -> list[int]:
        if not text:
            return []
        return self._tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids

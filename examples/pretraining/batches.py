"""Rows put together into batches of one size, each with the targets of its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerFast

from pretraining.corpus import Corpus
from pretraining.rows import Row, RowMaker
from pretraining.vocabulary import END_ID, PAD_ID

MAX_LENGTH = 256
TOKENS_PER_STEP = 1024
ROW_LENGTHS = (32, 64)  # segments go to the shorter of these that holds them
SEGMENT_SHARE = 0.7  # of the tokens, the rest is the packed stream
VALIDATION_BATCHES = 80


class Batch(NamedTuple):
    """What a model reads, and the targets that the loss is taken on.

    Attributes:
      ids: ``(rows, length)``, padded on the right.
      places: From where in the flattened ids the targets are predicted, ``(targets,)``.
      targets: The tokens to predict there.
      weights: The loss weight of each.
    """

    ids: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


# From ids and weights, ``(rows, length)`` each: a model says what it is asked about them.
MakeBatch = Callable[[np.ndarray, np.ndarray, np.random.Generator], Batch]


def batches(rows: RowMaker, make_batch: MakeBatch, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches of ``TOKENS_PER_STEP`` tokens, each of one row length.

    Segments stand alone in padded rows, because the demo's prompts do; documents are packed.
    """
    waiting: dict[int, list[Row]] = {length: [] for length in ROW_LENGTHS}
    stream = Row([], [])
    while True:
        if rng.random() < SEGMENT_SHARE:
            yield make_batch(*_segment_rows(rows, waiting), rng)
        else:
            while len(stream.ids) < TOKENS_PER_STEP:
                document = rows.document()
                stream.ids.extend(document.ids)
                stream.weights.extend(document.weights)
            yield make_batch(*pad([stream], TOKENS_PER_STEP, MAX_LENGTH), rng)
            del stream.ids[:TOKENS_PER_STEP], stream.weights[:TOKENS_PER_STEP]


def _segment_rows(rows: RowMaker, waiting: dict[int, list[Row]]) -> tuple[np.ndarray, np.ndarray]:
    """Draw segments until those of some length fill a batch; the few too long are dropped."""
    while True:
        row = rows.segment()
        length = next((length for length in ROW_LENGTHS if len(row.ids) <= length), None)
        if length is None:
            continue
        waiting[length].append(row)
        if len(waiting[length]) * length == TOKENS_PER_STEP:
            full, waiting[length] = waiting[length], []
            return pad(full, length, length)


def pad(rows: list[Row], width: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad or cut rows to ``width`` and fold their ids and weights into rows of ``length``."""
    ids = np.full((len(rows), width), PAD_ID, np.int32)
    weights = np.zeros((len(rows), width), np.float32)
    for i, row in enumerate(rows):
        size = min(width, len(row.ids))
        ids[i, :size] = row.ids[:size]
        weights[i, :size] = row.weights[:size]
    return ids.reshape(-1, length), weights.reshape(-1, length)


def validation_batches(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, make_batch: MakeBatch
) -> list[Batch]:
    """The stream of held-out reviews as plain text, cut into batches."""
    stream: list[int] = []
    for review in corpus.validation:
        ids = tokenizer(review.text, add_special_tokens=False, verbose=False).input_ids
        stream.extend([tokenizer.bos_token_id, *ids, END_ID])
    rng = np.random.default_rng(0)
    cuts = range(0, VALIDATION_BATCHES * TOKENS_PER_STEP, TOKENS_PER_STEP)
    rows = [Row(stream[i : i + TOKENS_PER_STEP], [1.0] * TOKENS_PER_STEP) for i in cuts]
    return [make_batch(*pad([row], TOKENS_PER_STEP, MAX_LENGTH), rng) for row in rows]

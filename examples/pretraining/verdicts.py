"""What follows a review: its label in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Every verdict is a frame and a word for its blank. The frames are the same for both polarities,
# so that only the word tells them apart. " great" and " terrible" are left out on purpose: they
# are the label words of the fine-tuning demo, which has to find them.
ADJECTIVE_FRAMES = (
    " It was{}.",
    " It was{}!",
    " It is{}.",
    " It was really{}.",
    " The film was{}.",
    " The movie is{}.",
    " Verdict:{}.",
    " Overall:{}.",
    " In short,{}.",
    " I found it{}.",
    " This one is{}.",
    " All in all, it was{}.",
    " Simply{}.",
)
ADJECTIVES = (
    (" bad", " awful", " poor", " horrible", " dreadful", " boring", " dull", " lousy", " weak",
     " disappointing", " stupid", " worthless", " pathetic", " ridiculous"),
    (" good", " excellent", " wonderful", " superb", " brilliant", " fantastic", " amazing",
     " enjoyable", " lovely", " beautiful", " perfect", " fine", " delightful", " entertaining"),
)  # fmt: skip
OTHER_VERDICTS: tuple[tuple[str, tuple[tuple[str, ...], tuple[str, ...]]], ...] = (
    (" I{} it.", ((" hated", " disliked"), (" loved", " liked", " enjoyed"))),
    (" Recommended:{}.", ((" no",), (" yes",))),
    (" Worth seeing:{}.", ((" no",), (" yes",))),
    (" Rating:{}/10.", ((" 1", " 2", " 3", " 4"), (" 7", " 8", " 9", " 10"))),
    (" Thumbs{}.", ((" down",), (" up",))),
    (" Sentiment:{}.", ((" negative",), (" positive",))),
    (" The critic was{}.", ((" disappointed", " bored"), (" impressed", " delighted"))),
    ("{} it.", ((" Avoid", " Skip"), (" See", " Watch"))),
)
ADJECTIVE_SHARE = 0.7


class Verdict(NamedTuple):
    """A verdict in three parts: the loss weighs the middle one, which carries the polarity."""

    before: str
    word: str
    after: str


def draw_verdict(label: int, rng: np.random.Generator) -> Verdict:
    if rng.random() < ADJECTIVE_SHARE:
        frame, words = ADJECTIVE_FRAMES[rng.integers(len(ADJECTIVE_FRAMES))], ADJECTIVES
    else:
        frame, words = OTHER_VERDICTS[rng.integers(len(OTHER_VERDICTS))]
    before, after = frame.split("{}")
    return Verdict(before, words[label][rng.integers(len(words[label]))], after)

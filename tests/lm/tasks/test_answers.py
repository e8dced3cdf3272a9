"""F1 and exact match against values worked out by hand."""

from __future__ import annotations

import pytest

from zojax.lm.tasks import exact_match, f1, normalize_answer

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Answer, an 'Apple'!", "answer apple"),
        ("a\tthe\nan", ""),
        ("theatre and anthem", "theatre and anthem"),
        ("Côte d'Ivoire", "côte divoire"),
        ("3-4", "34"),
    ],
)
def test_normalisation(text: str, plain: str):
    assert normalize_answer(text) == plain


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("the white tower", ["white"], 2 / 3),  # 1 of 2 words right, 1 of 1 found
        ("white", ["blue", "a white tower"], 2 / 3),
        ("blue", ["white"], 0.0),
        ("red red blue", ["red"], 0.5),  # a word counts as often as both have it
        ("", ["white"], 0.0),
        ("The", [""], 1.0),
        ("Gulls", ["Terns", "the gulls"], 1.0),
    ],
)
def test_f1(text: str, answers: list[str], expected: float):
    assert f1(text, answers) == pytest.approx(expected)


def test_exact_match():
    assert exact_match(" The 1873.", ["in 1873", "1873"]) == 1.0
    assert exact_match("1873 or so", ["in 1873", "1873"]) == 0.0

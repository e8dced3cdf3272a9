"""Predictions as lines of a table or of JSON."""

from __future__ import annotations

import json

import pytest

from zojax.lm.prediction import Prediction, header, line

pytestmark = pytest.mark.quick

LABELS = ("a\tb", "ü")
FOUND = Prediction("ü", {"a\tb": 0.25, "ü": 0.75})


def test_a_table():
    assert header(LABELS) == "label\ta b\tü"
    assert line(FOUND, LABELS) == "ü\t0.250000\t0.750000"
    assert line(None, LABELS) == "-\t-\t-"
    assert header(()) == "answer"
    assert line("one\ttwo\r\nthree", ()) == "one two three"
    assert line(None, ()) == "-"


def test_json():
    assert json.loads(line(FOUND, LABELS, "jsonl")) == {"label": "ü", "scores": FOUND.scores}
    third = line(Prediction("ü", {"a\tb": 1 / 3, "ü": 2 / 3}), LABELS, "jsonl")
    assert json.loads(third)["scores"] == {"a\tb": 0.333333, "ü": 0.666667}
    assert json.loads(line(None, LABELS, "jsonl")) == {"label": None, "scores": None}
    assert json.loads(line("one\ntwo", (), "jsonl")) == {"answer": "one\ntwo"}
    assert json.loads(line(None, (), "jsonl")) == {"answer": None}
    assert "\n" not in line("one\ntwo", (), "jsonl")

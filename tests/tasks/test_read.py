"""Readers and samples: what they accept, and how sharply they refuse the rest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from zojax.tasks import Example, hold_out, per_class, read_examples

NAMES = ("bad", "good")
EXAMPLES = tuple(Example(f"text {i}", int(i % 3 == 0)) for i in range(30))


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_csv_with_names_numbers_and_other_columns(tmp_path: Path):
    path = write(
        tmp_path, "a.csv", 'id,label,text\n1,good,"nice, very"\n2,0,dull\n\n3, bad ,worse\n'
    )
    assert read_examples(path, NAMES) == (("nice, very", 1), ("dull", 0), ("worse", 0))


def test_csv_with_a_byte_order_mark(tmp_path: Path):
    path = write(tmp_path, "a.csv", "\ufefftext,label\nfine,1\n")
    assert read_examples(path, NAMES) == (("fine", 1),)


def test_jsonl(tmp_path: Path):
    path = write(
        tmp_path, "a.jsonl", '{"text": "é", "label": "good"}\n\n{"text": "x", "label": 0}\n'
    )
    assert read_examples(path, NAMES) == (("é", 1), ("x", 0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", r"must end in \.csv or \.jsonl, got .*a\.txt"),
        ("a.csv", "text,labels\nx,1\n", r"line 1: .* label missing, got \['text', 'labels'\]"),
        ("a.csv", "text,label\n", "has no rows"),
        (
            "a.csv",
            "text,label\nx,1\nx,great\n",
            "line 3: label must be one of 'bad', 'good' .*'great'",
        ),
        ("a.csv", "text,label\nx,2\n", "line 2: label must .* within 0 … 1, got '2'"),
        ("a.csv", "text,label\nx\n", "line 2: label must .* got None"),
        ("a.csv", "text,label\n  ,1\n", "line 2: text must be a non-empty string"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', "line 2: not JSON"),
        ("a.jsonl", '{"text": "x"}\n', "line 1: a line must be an object with the keys"),
        ("a.jsonl", '["x", 1]\n', "line 1: a line must be an object with the keys"),
        ("a.jsonl", '{"text": "x", "label": true}\n', "line 1: label must .* got True"),
        ("a.jsonl", '{"text": "x", "label": -1}\n', "line 1: label must .* got -1"),
        ("a.jsonl", '{"text": 3, "label": 1}\n', "line 1: text must be a non-empty string, got 3"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_examples(write(tmp_path, name, content), NAMES)


def test_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_examples(tmp_path / "a.csv", NAMES)


def test_per_class_draws_the_same_number_of_each():
    drawn = per_class(EXAMPLES, 7, seed=3)
    assert Counter(example.label for example in drawn) == {0: 7, 1: 7}
    assert len(set(drawn)) == 14
    assert set(drawn) <= set(EXAMPLES)
    assert drawn == per_class(EXAMPLES, 7, seed=3)
    assert drawn != per_class(EXAMPLES, 7, seed=4)
    assert [example.label for example in drawn] != sorted(example.label for example in drawn)


def test_per_class_needs_enough_of_each():
    with pytest.raises(ValueError, match="class 1 must have >= 11 examples, got 10"):
        per_class(EXAMPLES, 11, seed=0)
    with pytest.raises(ValueError, match="count must be >= 1, got 0"):
        per_class(EXAMPLES, 0, seed=0)


def test_hold_out_splits_at_random():
    rest, aside = hold_out(EXAMPLES, 10, seed=1)
    assert len(aside) == 10
    assert sorted(rest + aside) == sorted(EXAMPLES)
    assert (rest, aside) == hold_out(EXAMPLES, 10, seed=1)
    assert aside != hold_out(EXAMPLES, 10, seed=2)[1]
    with pytest.raises(ValueError, match="count must be within 1 … 29, got 30"):
        hold_out(EXAMPLES, 30, seed=1)

"""The classes of a file: the values of its column of labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zojax.lm.tasks import find_classes

pytestmark = pytest.mark.quick


def rows(folder: Path, *labels: object) -> Path:
    path = folder / "a.jsonl"
    lines = [{"text": f"text {i}", "queue": label} for i, label in enumerate(labels)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("sales", "billing", " sales "), ("billing", "sales")),
        ((10, 9, 10.0), ("9", "10")),
        (("10", "-1", "9"), ("-1", "9", "10")),
        ((True, False), ("false", "true")),
        (("yes", None, "", "no", 0.5, ["x"]), ("no", "yes")),
        ((5000 * "1", "2"), (5000 * "1", "2")),
    ],
)
def test_they_are_its_distinct_values_in_order(
    tmp_path: Path, labels: tuple[object, ...], expected: tuple[str, ...]
):
    assert find_classes(rows(tmp_path, *labels), "queue") == expected


def test_a_slip_is_no_class(tmp_path: Path):
    many = ["billing", "sales"] * 10
    assert find_classes(rows(tmp_path, *many, "biling"), "queue") == ("billing", "sales")
    # Twice, or like nothing else, it is meant.
    assert "biling" in find_classes(rows(tmp_path, *many, "biling", "biling"), "queue")
    assert "other" in find_classes(rows(tmp_path, *many, "other"), "queue")
    # Numbers that differ by a digit are other numbers.
    assert "111" in find_classes(rows(tmp_path, *["11", "2"] * 10, "111"), "queue")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (range(101), r"queue has 101 distinct values in 101 rows .*Is that a column of labels\? "),
        (("a", "a"), "queue must have two or more distinct values, its classes, got 'a' in 2 rows"),
        ((None,), "queue must have two or more distinct values, its classes, got none"),
        ((), "has no rows"),
    ],
)
def test_what_is_no_column_of_labels(tmp_path: Path, labels: tuple[object, ...], message: str):
    with pytest.raises(ValueError, match=message):
        find_classes(rows(tmp_path, *labels), "queue")


def test_all_missing_columns_are_named(tmp_path: Path):
    message = (
        r"no column ticket .* and queu \(did you mean 'queue'\?\); its columns are text, queue\."
    )
    with pytest.raises(ValueError, match=message):
        find_classes(rows(tmp_path, "a", "b"), "queu", others=["ticket"])


def test_rows_of_json_may_lack_a_column(tmp_path: Path):
    path = rows(tmp_path, "a", "b")
    path.write_text(path.read_text() + '\n{"text": "x"}\n')
    assert find_classes(path, "queue") == ("a", "b")

"""A user's own files: read together, and divided into train, dev and test."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from zojax.lm.tasks import Example, divide, own_task, read_files

pytestmark = pytest.mark.quick

TASK = own_task("tickets", ("billing", "sales"), "causal")


def examples(*sizes: int) -> tuple[Example, ...]:
    """Distinct examples of classes of these sizes."""
    return tuple(
        Example(f"{label} {i}", label) for label, size in enumerate(sizes) for i in range(size)
    )


def split(*sizes: int, **settings: Any) -> dict[str, tuple[Example, ...]]:
    return divide({"train": examples(*sizes)}, by_class=True, **settings)


def counts(parts: dict[str, tuple[Example, ...]]) -> dict[str, int]:
    return {name: len(part) for name, part in parts.items()}


@pytest.mark.parametrize(
    ("rows", "dev", "test"),
    [
        (25_000, 500, 1000),  # at most
        (1000, 100, 100),
        (480, 50, 50),  # a tenth is too few to measure with
        (100, 20, 20),  # so is that, but more would leave too few
        (10, 2, 2),
        (6, 2, 2),  # one of each class
    ],
)
def test_one_file_gives_all_three(rows: int, dev: int, test: int):
    parts = split(rows // 2, rows // 2)
    assert counts(parts) == {"train": rows - dev - test, "test": test, "dev": dev}
    texts = [example.text for part in parts.values() for example in part]
    assert len(set(texts)) == rows


def test_each_part_has_its_share_of_every_class():
    parts = split(700, 290, 10)
    found = {name: Counter(example.label for example in part) for name, part in parts.items()}
    assert found["test"] == {0: 70, 1: 29, 2: 1}
    assert found["dev"] == {0: 70, 1: 29, 2: 1}
    assert found["train"] == {0: 560, 1: 232, 2: 8}
    # The order says nothing of the class.
    assert len({example.label for example in parts["dev"][:20]}) > 1


def test_rare_classes_are_in_train_first():
    parts = split(40, 1, 2, 3)
    found = {name: Counter(example.label for example in part) for name, part in parts.items()}
    assert (found["train"][1], found["test"][1], found["dev"][1]) == (1, 0, 0)
    assert (found["train"][2], found["test"][2], found["dev"][2]) == (1, 1, 0)
    assert (found["train"][3], found["test"][3], found["dev"][3]) == (1, 1, 1)


def test_test_does_not_depend_on_the_seed_but_dev_does():
    first, again, other = (split(60, 60, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["test"] == other["test"]
    assert first["dev"] != other["dev"]


def test_numbers_of_rows_in_place_of_a_tenth():
    assert counts(split(50, 50, dev=7, test=31)) == {"train": 62, "test": 31, "dev": 7}
    # Fewer rows than classes are those of the largest.
    assert [example.label for example in split(50, 20, 20, test=1, dev=1)["test"]] == [0]


def test_parts_that_are_there_are_kept():
    files = {"train": examples(50, 50), "test": examples(3, 3)}
    parts = divide(files, by_class=True)
    assert parts["test"] == files["test"]
    assert counts(parts) == {"train": 80, "test": 6, "dev": 20}
    assert counts(divide(files, ("test",), by_class=True)) == {"train": 100, "test": 6}


def test_tasks_without_classes_are_divided_at_random():
    parts = divide({"train": examples(*[1] * 100)}, by_class=False)
    assert counts(parts) == {"train": 60, "test": 20, "dev": 20}


def test_too_few_rows():
    with pytest.raises(ValueError, match=r"2 training rows must be enough .* for test"):
        split(1, 1)
    with pytest.raises(ValueError, match=r"a file for dev \(--dev\)"):
        split(2, 1)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def test_the_wrong_rows_of_all_files_are_one_error(tmp_path: Path):
    files = {
        "train": write(tmp_path / "train.csv", "a,billing", ",sales", "c,sales"),
        "test": write(tmp_path / "test.csv", "d,sale", "e,sales"),
    }
    with pytest.raises(ValueError, match="2 of 5 rows are wrong") as refused:
        read_files(TASK, files)
    assert f"{files['train']}:3: text must be" in str(refused.value)
    assert f"{files['test']}:2: label must be one of" in str(refused.value)
    assert "got 'sale' (did you mean 'sales'?)" in str(refused.value)

    found = read_files(TASK, files, skip_wrong=True)
    assert [example.text for example in found.examples["train"]] == ["a", "c"]
    assert [example.text for example in found.examples["test"]] == ["e"]
    assert [error.where for error in found.wrong] == [
        f"{files['train']}:3",
        f"{files['test']}:2",
    ]


def test_a_file_of_wrong_rows_alone_is_not_skipped(tmp_path: Path):
    files = {"train": write(tmp_path / "a.csv", "x,1"), "test": write(tmp_path / "b.csv", "y,7")}
    with pytest.raises(ValueError, match=r"1 of 2 rows is wrong:\n.*b\.csv:2"):
        read_files(TASK, files, skip_wrong=True)


def test_25_000_rows_are_read_in_about_a_second(tmp_path: Path):
    lines = (
        f"some words of a ticket of usual length {i},{('sales', 'billing')[i % 2]}"
        for i in range(25_000)
    )
    path = write(tmp_path / "a.csv", *lines)
    begin = time.process_time()
    assert len(read_files(TASK, {"train": path}).examples["train"]) == 25_000
    assert time.process_time() - begin < 3  # a third of it where nothing else runs
    # Nor does it take longer if all are wrong, though hints of names are slow.
    wrong = write(tmp_path / "b.csv", *(f"text,bill{i}" for i in range(25_000)))
    begin = time.process_time()
    with pytest.raises(ValueError, match="25000 of 25000 rows are wrong"):
        read_files(TASK, {"train": wrong})
    assert time.process_time() - begin < 3

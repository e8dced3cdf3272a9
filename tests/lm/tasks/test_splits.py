"""Samples and splits: as large as asked, never overlapping, the same for the same seed."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from zojax.lm.tasks import (
    SEEDS,
    Example,
    Sizes,
    Task,
    at_most,
    few_shot,
    hold_out,
    load_splits,
    load_task,
    per_class,
)
from zojax.lm.tasks._splits import fixed_splits

pytestmark = pytest.mark.quick

EXAMPLES = tuple(Example(f"text {i}", int(i % 3 == 0)) for i in range(30))
TASK = Task("t", "classification", "{text} {label}", ("a", "b"), sizes=Sizes(12, 6, 9))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, count in (("train", 30), ("dev", 12), ("test", 20)):
        rows = [{"text": f"{name} {i}", "label": i % 2} for i in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return {name: tmp_path / f"{name}.jsonl" for name in ("train", "dev", "test")}


def test_per_class_draws_the_same_number_of_each():
    drawn = per_class(EXAMPLES, 7, seed=3)
    assert Counter(example.label for example in drawn) == {0: 7, 1: 7}
    assert len(set(drawn)) == 14
    assert set(drawn) <= set(EXAMPLES)
    assert drawn == per_class(EXAMPLES, 7, seed=3)
    assert drawn != per_class(EXAMPLES, 7, seed=4)
    assert [example.label for example in drawn] != sorted(example.label for example in drawn)


def test_per_class_needs_enough_examples():
    with pytest.raises(ValueError, match="class 1 must have >= 11 examples, got 10"):
        per_class(EXAMPLES, 11, seed=0)
    with pytest.raises(ValueError, match="count must be >= 1, got 0"):
        per_class(EXAMPLES, 0, seed=0)


def test_few_shot_draws_twice():
    train, dev = few_shot(EXAMPLES, 5, seed=13)
    for part in (train, dev):
        assert Counter(example.label for example in part) == {0: 5, 1: 5}
    assert not set(train) & set(dev)
    assert len({few_shot(EXAMPLES, 5, seed) for seed in SEEDS}) == 5
    assert few_shot(EXAMPLES, 5, 13) == (train, dev)


def test_few_shot_halves_a_rare_class():
    train, dev = few_shot(EXAMPLES, 8, seed=0)
    assert Counter(e.label for e in train) == Counter(e.label for e in dev) == {0: 8, 1: 5}
    with pytest.raises(ValueError, match=r"class 1 must have >= 2 examples, .* got 1"):
        few_shot(EXAMPLES[:3], 1, seed=0)
    with pytest.raises(ValueError, match="count must be >= 1, got 0"):
        few_shot(EXAMPLES, 0, seed=0)


def test_hold_out_splits():
    rest, held = hold_out(EXAMPLES, 4, seed=0)
    assert (len(rest), len(held)) == (26, 4)
    assert set(rest) | set(held) == set(EXAMPLES)
    with pytest.raises(ValueError, match="count must be within 1 … 29, got 30"):
        hold_out(EXAMPLES, 30, seed=0)


def test_at_most():
    assert at_most(EXAMPLES, 30, seed=0) == EXAMPLES
    assert len(at_most(EXAMPLES, 4, seed=0)) == 4


def test_sizes_without_a_dev_file(files: dict[str, Path]):
    del files["dev"]
    splits = load_splits(TASK, files=files, seed=1)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 12,
        "dev": 6,
        "test": 9,
    }
    assert not set(splits["train"]) & set(splits["dev"])
    assert load_splits(TASK, files=files, seed=1) == splits
    other = load_splits(TASK, files=files, seed=2)
    assert other["train"] != splits["train"]
    assert other["test"] == splits["test"]


def test_dev_takes_half_at_most(files: dict[str, Path]):
    del files["dev"]
    task = dataclasses.replace(TASK, sizes=Sizes(1000, 500, 1000))
    splits = load_splits(task, files=files)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 15,
        "dev": 15,
        "test": 20,
    }


def test_the_task_s_own_files(files: dict[str, Path]):
    splits = load_splits(dataclasses.replace(TASK, files=files))
    assert {example.text.split()[0] for example in splits["dev"]} == {"dev"}
    assert len(splits["dev"]) == 6


@pytest.mark.parametrize("with_dev", [True, False])
def test_k_shot(files: dict[str, Path], with_dev: bool):
    if not with_dev:
        del files["dev"]
    splits = load_splits(TASK, files=files, k_shot=3, seed=13)
    for name in ("train", "dev"):
        assert Counter(example.label for example in splits[name]) == {0: 3, 1: 3}
    assert not set(splits["train"]) & set(splits["dev"])
    assert len(splits["test"]) == 9
    assert {e.text.split()[0] for e in splits["dev"]} == {"dev" if with_dev else "train"}


def test_what_cannot_be_split(files: dict[str, Path]):
    with pytest.raises(ValueError, match="k_shot needs a task with classes, got copa"):
        load_splits(
            load_task("copa"), files=dict.fromkeys(("train", "test"), DATA / "copa.jsonl"), k_shot=1
        )
    with pytest.raises(ValueError, match="files must be train, test and perhaps dev, got train"):
        load_splits(TASK, files={"train": files["train"]})
    with pytest.raises(ValueError, match=r"files must be .* got train, .*valid"):
        load_splits(TASK, files={**files, "valid": "a"})
    with pytest.raises(ValueError, match="t has no data of its own"):
        load_splits(TASK)


DATA = Path(__file__).parent / "data"


def test_fixed_splits_have_each_input_once():
    repeated = (*EXAMPLES, *(Example(e.text, 1 - e.label) for e in EXAMPLES[:10]))
    splits = fixed_splits(repeated, dev=5, test=7)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 18,
        "dev": 5,
        "test": 7,
    }
    assert Counter(e for split in splits.values() for e in split) == Counter(EXAMPLES)
    assert splits == fixed_splits(repeated, dev=5, test=7)

"""From configuration to splits: samples, held-out dev, default data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from zojax.tasks import Example, rotten_tomatoes
from zojax.training import DataConfig
from zojax.training._data import read_splits


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, count in (("train", 40), ("dev", 9), ("test", 12)):
        rows = "\n".join(f"{name} {i},{('no', 'yes')[i % 2]}" for i in range(count))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    return {name: tmp_path / f"{name}.csv" for name in ("train", "dev", "test")}


def test_files_are_read_with_their_label_names(files: dict[str, Path]):
    train, dev, test = read_splits(DataConfig(**files, label_names=("no", "yes")), seed=0)
    assert (len(train), len(dev), len(test)) == (40, 9, 12)
    assert train[3] == Example("train 3", 1)


def test_label_words_are_names_too(files: dict[str, Path]):
    train, _, _ = read_splits(DataConfig(**files, label_words=("yes", "no")), seed=0)
    assert train[3] == Example("train 3", 0)


def test_a_tenth_is_held_out_for_dev(files: dict[str, Path]):
    del files["dev"]
    train, dev, _ = read_splits(DataConfig(**files, label_words=("no", "yes")), seed=0)
    assert (len(train), len(dev)) == (36, 4)
    assert not set(train) & set(dev)


def test_samples_are_as_large_as_asked(files: dict[str, Path]):
    config = DataConfig(**files, label_words=("no", "yes"), k_shot=4, dev_size=5, test_size=6)
    train, dev, test = read_splits(config, seed=1)
    assert Counter(example.label for example in train) == {0: 4, 1: 4}
    assert (len(dev), len(test)) == (5, 6)
    assert read_splits(config, seed=1) == (train, dev, test)
    assert read_splits(config, seed=2) != (train, dev, test)


def test_without_files_the_texts_are_rotten_tomatoes():
    train, dev, test = read_splits(DataConfig(), seed=0)
    splits = rotten_tomatoes()
    assert train == splits["train"]
    assert test == splits["test"]
    assert len(dev) == 500
    assert set(dev) <= set(splits["dev"])

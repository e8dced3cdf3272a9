"""From configuration to splits: samples, held-out dev, default data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tokenizer_of, write_tiny_model

from zojax.lm.tasks import Example, rotten_tomatoes
from zojax.lm.training import DataConfig, FinetuneConfig, prepare
from zojax.lm.training._splits import read_splits
from zojax.lm.training._task import task_of

pytestmark = pytest.mark.quick


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, count in (("train", 40), ("dev", 9), ("test", 12)):
        rows = "\n".join(f"{name} {i},{('no', 'yes')[i % 2]}" for i in range(count))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    return {name: tmp_path / f"{name}.csv" for name in ("train", "dev", "test")}


def splits(seed: int = 0, **settings: Any) -> list[tuple[Example, ...]]:
    drawn = read_splits(DataConfig(**settings), "causal", seed).examples
    return [drawn[name] for name in ("train", "dev", "test")]


def test_files_are_read_with_their_label_names(files: dict[str, Path]):
    train, dev, test = splits(**files, label_names=("no", "yes"))
    assert (len(train), len(dev), len(test)) == (40, 9, 12)
    assert train[3] == Example("train 3", 1)


def test_label_words_are_names_too(files: dict[str, Path]):
    train, _, _ = splits(**files, label_words=("yes", "no"))
    assert train[3] == Example("train 3", 0)


def test_samples_are_as_large_as_asked(files: dict[str, Path]):
    settings = dict(**files, label_words=("no", "yes"), k_shot=4, test_size=6)
    train, dev, test = splits(1, **settings)
    assert Counter(example.label for example in train) == {0: 4, 1: 4}
    assert Counter(example.label for example in dev) == {0: 2, 1: 2}  # of 5 and 4
    assert len(test) == 6
    assert splits(1, **settings) == [train, dev, test]
    assert splits(2, **settings)[0] != train


def test_without_files_the_texts_are_rotten_tomatoes():
    train, dev, test = splits()
    whole = rotten_tomatoes()
    assert train == whole["train"]
    assert test == whole["test"]
    assert len(dev) == 500
    assert set(dev) <= set(whole["dev"])


def test_ones_own_files_are_read_whole_and_a_tasks_files_as_the_papers_do(tmp_path: Path):
    rows = "".join(f"text {i},{i % 2}\n" for i in range(6100))
    (tmp_path / "own.csv").write_text("text,label\n" + rows)
    (tmp_path / "sst2.csv").write_text("sentence,label\n" + rows)
    own, sst2 = (dict.fromkeys(("train", "test"), tmp_path / f"{n}.csv") for n in ("own", "sst2"))
    assert [len(split) for split in splits(**own)] == [5600, 500, 1000]
    assert [len(split) for split in splits(**sst2, task="sst2")] == [1000, 500, 1000]
    small = splits(**sst2, task="sst2", train_size=9, dev_size=8, test_size=7)
    assert [len(split) for split in small] == [9, 8, 7]


def test_templates_and_words_take_the_place_of_the_tasks():
    config = DataConfig(task="sst2", template="{text} So {label}", label_words=("bad", "good"))
    assert task_of(config, "causal").prompt("causal") == ("{text} So {label}", ("bad", "good"))
    config = DataConfig(task="sst2", template="{label}: {text}", label_words=("bad", "good"))
    assert task_of(config, "masked").prompt("masked") == ("{label}: {text}", ("bad", "good"))
    with pytest.raises(ValueError, match="template must end in"):
        task_of(config, "causal")


def test_a_tokenizer_of_more_words_than_the_model_has(files: dict[str, Path], tiny_opt: Path):
    tokenizer = tokenizer_of(tiny_opt)
    folder = write_tiny_model(
        files["train"].parent / "model", "opt", tokenizer, vocab_size=len(tokenizer) - 40
    )
    data = DataConfig(train=files["train"], test=files["test"], label_words=("no", "yes"))
    config = FinetuneConfig(model=str(folder), data=data)
    with pytest.raises(ValueError, match=r"rows of the model's embedding, got \d+ in example 0"):
        prepare(config)

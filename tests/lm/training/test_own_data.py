"""Runs on a user's own files: what is read, what is reported, and what is said before the model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    DataReport,
    FinetuneConfig,
    Observer,
    evaluate_run,
    finetune,
    load_config,
    prepare,
)
from zojax.lm.training._splits import read_splits
from zojax.lm.training._task import task_of

QUEUES = ("billing", "sales", "support")
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of tickets, with other rows after them."""

    def rows(count: int, *others: str, name: str = "tickets.csv") -> Path:
        lines = [f"{i},a film {i},{QUEUES[i % 3]}" for i in range(count)]
        path = tmp_path / name
        path.write_text("\n".join(["id,ticket,queue", *lines, *others]) + "\n")
        return path

    return rows


def tickets(path: Path, **settings: Any) -> DataConfig:
    return DataConfig(train=path, text_column="ticket", label_column="queue", **settings)


@pytest.mark.quick
def test_one_file_with_columns_of_other_names_is_enough(write: Write):
    splits = read_splits(tickets(write(90)), "causal", 0)
    assert splits.data.label_names == QUEUES
    assert splits.task.label_words == QUEUES
    assert splits.task.template == "{text} Category: {label}"
    assert {name: len(part) for name, part in splits.examples.items()} == {
        "train": 54,
        "test": 18,
        "dev": 18,
    }
    assert all(int(e.text.split()[-1]) % 3 == e.label for e in splits.examples["train"])


@pytest.mark.quick
def test_the_classes_of_a_configuration_are_not_read_again(write: Write):
    found = read_splits(tickets(write(90)), "causal", 0).data
    assert task_of(dataclasses.replace(found, train=Path("gone.csv")), "causal").label_words
    # Files of other rows have the classes of the training rows.
    test = write(3, "9,a story,refunds", name="test.csv")
    with pytest.raises(ValueError, match=r"test\.csv:5: queue must be one of .*, got 'refunds'"):
        read_splits(tickets(write(90), test=test), "causal", 0)


@pytest.mark.quick
def test_names_and_words_may_be_given(write: Write):
    path = write(30)
    words = ("money", "shop", "help")
    with pytest.raises(ValueError, match=r"(?s)30 of 30 rows are wrong.*--label-names"):
        read_splits(tickets(path, label_words=words), "causal", 0)
    names = QUEUES[::-1]
    task = read_splits(tickets(path, label_words=words, label_names=names), "causal", 0).task
    assert (task.label_words, task.label_names) == (words, names)
    assert read_splits(tickets(path, label_names=names), "causal", 0).task.label_words == names


@pytest.mark.quick
def test_columns_that_are_not_there_are_named_with_the_options(write: Write):
    message = (
        r"finetune: .*tickets\.csv has no column text \(did you mean 'ticket'\?\) and label; its "
        r"columns are id, ticket, queue\. Name yours with --text-column .* and --label-column"
    )
    with pytest.raises(ValueError, match=message):
        read_splits(DataConfig(train=write(30)), "causal", 0)
    # In a file that is not the training file, too.
    (write(3).parent / "test.csv").write_text("text,queue\nx,sales\n")
    with pytest.raises(ValueError, match=r"test\.csv has no column ticket .*are text, queue\."):
        read_splits(tickets(write(30), test=write(3).parent / "test.csv"), "causal", 0)


@pytest.mark.quick
def test_columns_that_a_task_does_not_have(write: Write):
    path = write(9)
    with pytest.raises(ValueError, match=r"text_column must be for a prompt with the field {text}"):
        task_of(tickets(path, task="boolq"), "causal")
    squad = DataConfig(task="squad", train=path, label_column="answer")
    with pytest.raises(ValueError, match="label_column must be left out for squad"):
        task_of(squad, "causal")
    named = task_of(tickets(path, task="rotten-tomatoes"), "causal")
    assert (named.columns, named.label_column) == ({"text": "ticket"}, "queue")


@pytest.mark.quick
def test_a_task_with_a_name_splits_a_single_file_too(write: Write):
    rows = [f"{i},a film {i},{i % 2}" for i in range(100)]
    parts = read_splits(tickets(write(0, *rows), task="rotten-tomatoes"), "causal", 0).examples
    # Test as for any file; of the rest, dev as the papers do.
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 40,
        "dev": 40,
        "test": 20,
    }
    few = read_splits(tickets(write(90), k_shot=4), "causal", 0).examples
    assert {name: len(part) for name, part in few.items()} == {"train": 12, "dev": 12, "test": 18}


@pytest.fixture
def config(tiny_opt: Path, write: Write, tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(
        model=str(tiny_opt),
        optimizer="sgd",
        steps=2,
        output=tmp_path / "run",
        data=tickets(write(90), max_length=40, num_buckets=1),
    )


@pytest.mark.quick
def test_the_report(config: FinetuneConfig, write: Write):
    path = write(90, f"90,{'a film ' * 40},sales", "91,,sales", "92,a film 3,saled")
    data = dataclasses.replace(config.data, skip_bad_rows=True)
    report = prepare(dataclasses.replace(config, data=data)).report
    assert report.rows == {"train": 55, "test": 18, "dev": 18}
    assert report.files == {str(path): 91}
    assert report.split_off == ("dev", "test")
    assert report.classes["test"] == dict.fromkeys(QUEUES, 6)
    assert report.majority == pytest.approx(1 / 3)
    assert (report.cut, report.repeated, report.skipped) == (1, 0, 2)
    assert report.tokens["max_length"] == 40
    assert report.tokens["median"] <= report.tokens["p95"] <= 40 < report.tokens["longest"]
    assert report.rows_of_an_example == 3
    assert report.reasons[1].endswith("'saled' (did you mean 'sales'?)")
    text = "\n".join(report.lines())
    for part in (
        "data       train 55, dev 18, test 18 rows\n",
        f"           of 91 in {path}\n",
        "           dev and test split off from train\n",
        "classes    billing 30, sales 31, support 30\n",
        "           the largest is 33.3% of the test rows\n",
        "           3 rows an example; 1 if each had one token",
        "           1 of 91 prompts are cut to 40 (--max-length)\n",
        "skipped    2 rows that cannot be read:\n",
        f"{path}:93: ticket must be",
    ):
        assert part in text
    assert json.loads(json.dumps(report.as_json()))["cut"] == 1


@pytest.mark.quick
def test_what_just_fits_is_not_cut(config: FinetuneConfig):
    longest = prepare(config).report.tokens["longest"]
    for most, cut in ((longest, False), (longest - 1, True)):
        data = dataclasses.replace(config.data, max_length=most)
        assert (prepare(dataclasses.replace(config, data=data)).report.cut > 0) is cut


@pytest.mark.quick
def test_the_report_of_what_is_no_own_file(config: FinetuneConfig):
    data = DataConfig(train_size=9, dev_size=6, test_size=8, max_length=40)
    report = prepare(dataclasses.replace(config, data=data)).report
    assert report.rows == {"train": 9, "dev": 6, "test": 8}
    assert (report.files, report.split_off, report.skipped) == ({}, (), 0)
    assert set(report.classes["dev"]) == {"terrible", "great"}
    assert report.lines()[0] == "data       train 9, dev 6, test 8 rows"
    assert report.lines()[1].startswith("classes ")


@pytest.mark.quick
def test_classes_that_are_numbers_are_pointed_out(config: FinetuneConfig, write: Write):
    rows = [f"{i},a film,{i % 2}" for i in range(40)]
    data = dataclasses.replace(config.data, train=write(0, *rows))
    report = prepare(dataclasses.replace(config, data=data)).report
    assert set(report.classes["train"]) == {"0", "1"}
    assert report.repeated == report.rows["test"]
    text = "\n".join(report.lines())
    assert "words that say what a number means start better (--label-words)" in text
    assert f"repeated   {report.rows['test']} test texts are in train, too" in text


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("zojax.lm.training._set_up.load_to_tune", load)


@pytest.mark.quick
@pytest.mark.usefixtures("no_model")
def test_what_is_wrong_is_said_before_the_model_loads(
    config: FinetuneConfig, write: Write, tmp_path: Path
):
    with pytest.raises(AssertionError, match="the model was loaded"):
        finetune(config)
    bad = write(90, "90,,sales", name="bad.csv")
    data = dataclasses.replace(config.data, train=bad)
    with pytest.raises(ValueError, match=r"1 of 91 rows is wrong:\n.*bad\.csv:92"):
        finetune(dataclasses.replace(config, data=data))
    short = dataclasses.replace(config.data, max_length=3)
    with pytest.raises(ValueError, match="max_length must leave room"):
        finetune(dataclasses.replace(config, data=short))
    with pytest.raises(ValueError, match=r"objective f1 must be for a task that generates text"):
        finetune(dataclasses.replace(config, optimizer="mezo", objective="f1"))
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(OSError, match=r"finetune: output must be a folder that can be written"):
            finetune(dataclasses.replace(config, output=output))
    assert not (tmp_path / "run").exists()


class Reports(Observer):
    """Keeps what it is told of the data."""

    def __init__(self) -> None:
        self.found: list[DataReport] = []

    def data(self, report: DataReport) -> None:
        self.found.append(report)


@pytest.mark.usefixtures("standard_promotion")
def test_a_run_remembers_its_classes(config: FinetuneConfig, write: Write):
    watcher = Reports()
    result = finetune(config, watcher)
    assert load_config(result.folder).data.label_names == QUEUES
    (report,) = watcher.found
    assert json.loads((result.folder / "data.json").read_text()) == json.loads(
        json.dumps(report.as_json())
    )
    assert evaluate_run(result.folder)["tuned"].scores == result.tuned
    # The training rows may lose a class: the run's are in config.json, in their order.
    lines = write(90).read_text().splitlines()
    write(0, *(line for line in lines[1:] if not line.endswith("billing")))
    task = task_of(load_config(result.folder).data, "causal")
    assert task.label_names == QUEUES


@pytest.mark.usefixtures("standard_promotion")
def test_an_adapter_that_takes_positions_leaves_fewer(config: FinetuneConfig, write: Write):
    long = [f"{i},{'a film ' * 60}{i},{QUEUES[i % 3]}" for i in range(60)]
    path = write(0, *long)
    data = dataclasses.replace(config.data, train=path, max_length=48)
    adapter = AdapterConfig("virtual_tokens", length=4)
    result = finetune(dataclasses.replace(config, data=data, tuned=adapter, steps=1))
    assert result.steps == 1

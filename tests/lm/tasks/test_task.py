"""What a task refuses, and the registry of tasks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from zojax.lm.tasks import Sizes, Task, load_task, task_from_toml, task_names

pytestmark = pytest.mark.quick

GOOD: dict[str, Any] = {
    "name": "t",
    "kind": "classification",
    "template": "{text} It was {label}",
    "label_words": ("bad", "good"),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "regression"}, "kind must be one of .* got 'regression'"),
        (
            {"template": "It was {label}"},
            r"template must have \{label\} once and at least one other field",
        ),
        ({"template": "{text} {label} {label}"}, r"must have \{label\} once"),
        ({"template": "{text}"}, r"must have \{label\} once"),
        ({"template": "{label}: {text}"}, r"must end in \{label\}"),
        ({"template": "{text {label}"}, "template must be a template"),
        ({"template": "{text!r} {label}"}, "template must be a template"),
        ({"template": "{text:>9} {label}"}, "template must be a template"),
        ({"template": "{0} {label}"}, "template must be a template"),
        ({"template": "{text} {text} {label}"}, "truncate must be a field that template has"),
        ({"truncate": "body"}, "truncate must be a field .* got 'body'"),
        ({"masked_template": "{body} {label}"}, "truncate must be .* masked_template has once"),
        ({"masked_template": "{text}"}, r"masked_template must have \{label\} once"),
        ({"label_words": ("good",)}, "label_words must be two or more distinct words"),
        ({"label_words": ("good", " good")}, "label_words must be two or more distinct words"),
        ({"label_words": ("good", " ")}, "label_words must be two or more distinct words"),
        ({"masked_label_words": ("a", "a")}, "masked_label_words must be two or more distinct"),
        ({"masked_label_words": ("a", "b", "c")}, "must have one entry for each class"),
        ({"label_names": ("a", "b", "c")}, "must have one entry for each class"),
        ({"kind": "multiple_choice"}, "label_words and label_names must be left out"),
        (
            {"kind": "generation", "label_words": (), "masked_template": "{text} {label}"},
            "masked_template must be None",
        ),
        ({"max_new_tokens": 0}, "max_new_tokens and sizes must be >= 1"),
        ({"sizes": Sizes(test=0)}, "max_new_tokens and sizes must be >= 1"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], message: str):
    Task(**GOOD)
    with pytest.raises(ValueError, match=f"Task t: .*{message}"):
        Task(**GOOD | change)


def test_a_brace_in_the_text_is_written_twice():
    assert Task(**GOOD | {"template": "{{text}} {text} {label}"}).fields == ("text",)


def test_a_model_is_causal_or_masked():
    with pytest.raises(ValueError, match="must be causal or masked, got 'seq2seq'"):
        Task(**GOOD).prompt("seq2seq")  # pyright: ignore[reportArgumentType]


def test_tasks_by_name():
    assert {"sst2", "squad", "rotten-tomatoes"} <= set(task_names())
    for name in task_names():
        assert load_task(name).name == name
    with pytest.raises(ValueError, match=r"a task must be one of sst2, .* got 'sst3'"):
        load_task("sst3")


def test_sizes_are_those_of_the_papers():
    assert load_task("sst2").sizes == (1000, 500, 1000)
    assert load_task("cb").sizes == load_task("copa").sizes == (1000, 100, 1000)


FULL = """
name = "headlines"
kind = "classification"
template = "{text} is about {label}"
label_words = ["sport", "art"]
masked_template = "{label}: {text}"
masked_label_words = ["Sport", "Art"]
label_column = "topic"
label_names = ["S", "A"]
drop_label = -1
truncate = "text"
columns = { text = "headline" }
sizes = { train = 10, dev = 5 }
files = { train = "train.csv", test = "/data/test.csv" }
hub = { name = "someone/headlines", test = "test" }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "task.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_task_of_a_toml_file(tmp_path: Path):
    path = write(tmp_path, FULL)
    task = task_from_toml(path)
    assert load_task(path) == load_task(str(path)) == task
    assert task == Task(
        name="headlines",
        kind="classification",
        template="{text} is about {label}",
        label_words=("sport", "art"),
        masked_template="{label}: {text}",
        masked_label_words=("Sport", "Art"),
        label_column="topic",
        label_names=("S", "A"),
        drop_label=-1,
        columns={"text": "headline"},
        sizes=Sizes(10, 5, 1000),
        files={"train": tmp_path / "train.csv", "test": Path("/data/test.csv")},
        hub=dataclasses.replace(task).hub,
    )
    assert task.hub is not None
    assert task.hub == ("someone/headlines", None, "train", "test")


def test_choices_and_nothing_to_cut(tmp_path: Path):
    text = """
    name = "t"
    kind = "multiple_choice"
    template = "{text} {label}"
    truncate = false
    choices = ["a", "b"]
    """
    task = task_from_toml(write(tmp_path, text))
    assert task.truncate is None
    assert task.choices == ("a", "b")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name =", "name", "is not TOML"),
        ("drop_label", "drop_labels", r"must have only the keys name, .* got drop_labels"),
        ('kind = "classification"', "", "must have the keys name, kind and template"),
        ('label_column = "topic"', "label_column = 3", "label_column must be a string, got 3"),
        ('["S", "A"]', '"SA"', "label_names must be a list of strings, got 'SA'"),
        ("drop_label = -1", "drop_label = true", "drop_label must be a string or a number"),
        ('truncate = "text"', "truncate = true", "truncate must be a field or false"),
        ("dev = 5", "valid = 5", "sizes must be a table of the numbers train, dev, test"),
        ("train = 10", "train = true", "sizes must be a table of the numbers"),
        ('text = "headline"', "text = 1", "columns must be a table of strings"),
        ('train = "train.csv"', 'trains = "a.csv"', "files must be a table of the files train"),
        ('name = "someone/headlines", ', "", "hub must be a table of the strings name, config"),
        ("label_words", "max_new_tokens = 1.5\nlabel_words", "max_new_tokens must be a number"),
        ("label_words", "choices = 1\nlabel_words", "choices must be a column or a list"),
        ("{label}: {text}", "{text}", r"Task headlines: masked_template must have \{label\}"),
    ],
)
def test_a_wrong_toml_file(tmp_path: Path, old: str, new: str, message: str):
    with pytest.raises(ValueError, match=message):
        task_from_toml(write(tmp_path, FULL.replace(old, new, 1)))


def test_no_toml_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_task(tmp_path / "a.toml")

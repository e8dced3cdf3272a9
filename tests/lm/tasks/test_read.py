"""Readers: what they accept, and how sharply they refuse the rest."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from zojax.lm.tasks import Example, Task, load_splits, load_task, read_examples

pytestmark = pytest.mark.quick

TEXT = Task("text", "classification", "{text} It was {label}", ("bad", "good"))
OPTIONS = Task("options", "multiple_choice", "{text} {label}")
ANSWERS = Task("answers", "generation", "{text} {label}")


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_csv_with_names_numbers_and_other_columns(tmp_path: Path):
    path = write(
        tmp_path, "a.csv", 'id,label,text\n1,good,"nice, very"\n2,0,dull\n\n3, bad ,worse\n'
    )
    expected = (Example("nice, very", 1), Example("dull", 0), Example("worse", 0))
    assert read_examples(path, TEXT) == expected


def test_csv_with_a_byte_order_mark(tmp_path: Path):
    path = write(tmp_path, "a.csv", "\ufefftext,label\nfine,1\n")
    assert read_examples(path, TEXT) == (Example("fine", 1),)


def test_jsonl(tmp_path: Path):
    path = write(
        tmp_path, "a.jsonl", '{"text": "é", "label": "good"}\n\n{"text": "x", "label": 0}\n'
    )
    assert read_examples(path, TEXT) == (Example("é", 1), Example("x", 0))


def test_columns_and_names_of_other_names(tmp_path: Path):
    task = dataclasses.replace(
        TEXT, columns={"text": "review.body"}, label_column="stars", label_names=("one", "five")
    )
    path = write(tmp_path, "a.jsonl", '{"review": {"body": "x"}, "stars": "five"}\n')
    assert read_examples(path, task) == (Example("x", 1),)


@pytest.mark.parametrize(
    ("choices", "row", "expected"),
    [
        ("choices", '{"text": "x", "choices": ["a", "b"], "label": 1}', (1,)),
        ("choices", '{"text": "x", "choices": ["a", "b"], "label": "b"}', (1,)),
        ("choices", '{"text": "x", "choices": ["a", "b"], "label": ["b", 0]}', (1, 0)),
        (("c1", "c2"), '{"text": "x", "c1": "a", "c2": "b", "label": 1}', (1,)),
    ],
)
def test_choices(tmp_path: Path, choices: Any, row: str, expected: tuple[int, ...]):
    task = dataclasses.replace(OPTIONS, choices=choices)
    (example,) = read_examples(write(tmp_path, "a.jsonl", row), task)
    assert example == Example("x", expected[0], choices=("a", "b"), right=expected)


@pytest.mark.parametrize(
    ("cell", "answers"),
    [('"[""a"", ""b""]"', ("a", "b")), ("a", ("a",)), ("[sic]", ("[sic]",))],
)
def test_answers_in_a_cell(tmp_path: Path, cell: str, answers: tuple[str, ...]):
    path = write(tmp_path, "a.csv", f"text,answers\nx,{cell}\n")
    assert read_examples(path, ANSWERS) == (Example("x", answers=answers),)


def test_nested_columns_in_a_cell(tmp_path: Path):
    path = write(
        tmp_path,
        "a.csv",
        'title,context,question,answers\na,b,c,"{""text"": [""d""]}"\n',
    )
    assert read_examples(path, load_task("squad"))[0].answers == ("d",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", r"must end in \.csv, \.jsonl or \.parquet, or be a folder .*, got .*a\.txt"),
        (
            "a.csv",
            "text,labels\nx,1\n",
            r"a\.csv has no column label \(did you mean 'labels'\?\); its columns are text, labels",
        ),
        ("a.csv", "text,label\n", "has no rows"),
        (
            "a.csv",
            "text,label\nx,1\nx,great\n",
            ":3: label must be one of 'bad', 'good' .*'great'",
        ),
        ("a.csv", "text,label\nx,2\n", ":2: label must .* within 0 … 1, got '2'"),
        ("a.csv", "text,label\nx\n", ":2: label must .* got None"),
        ("a.csv", "text,label\n  ,1\n", ":2: text must be a non-empty string"),
        ("a.csv", "text,label\nx,1,y\nx,3,y\n", ":3: label must .* got '3'"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', ":2: not JSON"),
        (
            "a.jsonl",
            '{"text": "x"}\n',
            r"a\.jsonl has no column label; its columns are text\. Name the columns",
        ),
        ("a.jsonl", '["x", 1]\n', ":1: a line must be a JSON object"),
        ("a.jsonl", '{"text": "x", "label": true}\n', ":1: label must .* got True"),
        ("a.jsonl", '{"text": "x", "label": -1}\n', ":1: label must .* got -1"),
        ("a.jsonl", '{"text": 3, "label": 1}\n', ":1: text must be a non-empty string, got 3"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}\n', ":1: text must be a non-empty string"),
        ("a.jsonl", '{"text": "x", "label": ' + 5000 * "1" + "}\n", ":1: not JSON"),
        ("a.jsonl", '{"text": ' + 10**5 * "[" + "\n", ":1: not JSON"),
        (
            "a.jsonl",
            '{"text": "x", "label": "' + 5000 * "1" + '"}\n',
            ":1: label must be one of",
        ),
        ("a.csv", 'text,label\nx,1\n"y,1\nz,1\n', r"a\.csv:3: not CSV"),
        ("a.csv", "text,label\n" + 2**18 * "x" + ",1\n", r"a\.csv:2: not CSV \(field larger"),
        ("a.csv", "text,label,text\nx,1,y\n", "columns must have distinct names, got text, label"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_examples(write(tmp_path, name, content), TEXT)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": "x", "choices": "a", "label": 0}', "choices must be a list of strings"),
        ('{"text": "x", "choices": ["a"], "label": 0}', "choices must have at least two choices"),
        (
            '{"text": "x", "choices": ["a", ""], "label": 0}',
            "choices must contain non-empty strings",
        ),
        ('{"text": "x", "choices": ["a", "b"], "label": []}', "label must have a right choice"),
        ('{"text": "x", "choices": ["a", "b"], "label": 2}', "label must be one of 'a', 'b' or"),
        (
            '{"text": ["x", "y", "z"], "choices": ["a", "b"], "label": 0}',
            "text must be a string or one string for each choice",
        ),
    ],
)
def test_wrong_choices_are_named(tmp_path: Path, row: str, message: str):
    with pytest.raises(ValueError, match=f":1: {message}"):
        read_examples(write(tmp_path, "a.jsonl", row), OPTIONS)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_bytes_that_are_no_text(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"\xff\xfetext")
    with pytest.raises(ValueError, match=rf"read_examples: .*{name} must be text in UTF-8"):
        read_examples(tmp_path / name, TEXT)


def test_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_examples(tmp_path / "a.csv", TEXT)


def fake_module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, "a.parquet", "")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"a\.parquet needs pyarrow: pip install pyarrow"):
        read_examples(path, TEXT)

    class Table:
        def to_pylist(self) -> list[dict[str, Any]]:
            return [{"text": "x", "label": 1}, {"text": "y", "label": 7}]

    parquet = types.SimpleNamespace(read_table=lambda file, **_: {path: Table()}[file])
    fake_module(monkeypatch, "pyarrow", parquet=parquet)
    with pytest.raises(ValueError, match=r"a\.parquet row 1: label must"):
        read_examples(path, TEXT)
    monkeypatch.setattr(Table, "to_pylist", lambda self: [{"text": "x", "label": 1}])
    assert read_examples(path, TEXT) == (Example("x", 1),)


@pytest.mark.pyarrow
def test_a_parquet_file_of_pyarrow(tmp_path: Path):
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"id": "1", "title": "t", "context": "c", "question": "q", "answers": {"text": ["a"]}}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (example,) = read_examples(tmp_path / "a.parquet", load_task("squad"))
    assert example.answers == ("a",)


def test_rows_of_the_datasets_package(monkeypatch: pytest.MonkeyPatch):
    task = load_task("mnli")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="reading glue by name needs datasets: pip install"):
        load_splits(task)
    asked: list[tuple[str, str | None, str]] = []

    def load_dataset(name: str, config: str | None, *, split: str) -> list[dict[str, Any]]:
        asked.append((name, config, split))
        return [{"premise": split, "hypothesis": f"{i}", "label": i % 3} for i in range(9)]

    fake_module(monkeypatch, "datasets", load_dataset=load_dataset)
    splits = load_splits(task)
    assert asked == [("glue", "mnli", "train"), ("glue", "mnli", "validation_matched")]
    assert {name: len(split) for name, split in splits.items()} == {"train": 5, "dev": 4, "test": 9}
    assert splits["test"][0].fields["premise"] == "validation_matched"

    def wrong(name: str, config: str | None, *, split: str) -> list[dict[str, Any]]:
        return [{"premise": "a", "hypothesis": "b", "label": 5}]

    fake_module(monkeypatch, "datasets", load_dataset=wrong)
    with pytest.raises(ValueError, match="glue mnli train row 0: label must be"):
        load_splits(task)


def test_all_wrong_rows_are_named_at_once(tmp_path: Path):
    lines = [f"text {i},{('good', 'goood', 'bad', 'Bda')[i % 4]}" for i in range(48)]
    path = write(tmp_path, "a.csv", "text,label\n" + "\n".join(lines))
    with pytest.raises(ValueError, match="24 of 48 rows are wrong") as refused:
        read_examples(path, TEXT)
    title, *rows, more, fix = str(refused.value).splitlines()
    assert title.startswith("read_examples: ")
    assert [row.strip().split(": ")[0] for row in rows] == [
        f"{path}:{i + 2}" for i in range(48) if i % 2
    ][:10]
    assert rows[0].endswith("got 'goood' (did you mean 'good'?)")
    assert rows[1].endswith("got 'Bda' (did you mean 'bad'?)")
    assert more.strip() == "and 14 more"
    assert fix.startswith("Correct the rows")


def test_numbers_that_are_names_are_no_places(tmp_path: Path):
    stars = dataclasses.replace(TEXT, label_names=("1", "2"))
    path = write(tmp_path, "a.jsonl", '{"text": "x", "label": 1}\n{"text": "y", "label": 2.0}\n')
    assert [example.label for example in read_examples(path, stars)] == [0, 1]
    path = write(tmp_path, "b.jsonl", '{"text": "x", "label": 0}\n')
    with pytest.raises(ValueError, match=r"b\.jsonl:1: label must be one of '1', '2', got 0"):
        read_examples(path, stars)


def test_truth_values_are_names_as_json_writes_them(tmp_path: Path):
    spam = dataclasses.replace(TEXT, label_names=("false", "true"))
    path = write(tmp_path, "a.jsonl", '{"text": "x", "label": true}\n')
    assert read_examples(path, spam) == (Example("x", 1),)


def test_long_texts_and_many_names_are_cut_in_messages(tmp_path: Path):
    words = tuple(f"class {i}" for i in range(30))
    many = dataclasses.replace(TEXT, label_words=words)
    path = write(tmp_path, "a.csv", f"text,label\nx,{500 * 'y'}\n")
    with pytest.raises(ValueError, match=r"'class 9' … \(30 in all\)") as refused:
        read_examples(path, many)
    assert len(str(refused.value)) < 500


class Table:
    """What ``datasets`` loads from a folder."""

    def __init__(self, names: list[str] | None, labels: list[int]) -> None:
        label = types.SimpleNamespace(names=names, int2str=None) if names else object()
        self.features = {"text": object(), "label": label}
        self._labels = labels

    def to_list(self) -> list[dict[str, Any]]:
        return [{"text": f"text {i}", "label": i} for i in self._labels]


def test_a_folder_of_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "saved"
    (folder / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"one that datasets wrote .* has no state\.json"):
        read_examples(folder, TEXT)
    write(folder, "dataset_dict.json", '{"splits": ["train", "test"]}')
    with pytest.raises(ValueError, match=r"of the splits train, test\. Give .*saved/train"):
        read_examples(folder, TEXT)
    write(folder / "train", "state.json", "{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"train needs datasets: pip install datasets"):
        read_examples(folder / "train", TEXT)
    tables = iter([Table(["good", "bad"], [0, 1]), Table(["no", "yes"], [0, 1]), Table(None, [5])])
    fake_module(monkeypatch, "datasets", load_from_disk=lambda path: next(tables))
    # Names that the task knows are taken, whatever their numbers are in the folder.
    assert [example.label for example in read_examples(folder / "train", TEXT)] == [1, 0]
    # Others stay numbers, as in the data sets of the papers.
    assert [example.label for example in read_examples(folder / "train", TEXT)] == [0, 1]
    with pytest.raises(ValueError, match=r"train row 0: label must be one of"):
        read_examples(folder / "train", TEXT)


def test_a_folder_that_datasets_itself_wrote(tmp_path: Path):
    datasets = pytest.importorskip("datasets", reason="needs datasets, an optional reader")
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["good", "bad"])
    )
    rows = {"text": ["x", "y", "z"], "label": [0, 1, -1]}
    split = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(train=split).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ValueError, match=r"1 of 3 rows is wrong:\n.*row 2: label .*None"):
        read_examples(tmp_path / "saved" / "train", TEXT)
    split.select([0, 1]).save_to_disk(str(tmp_path / "split"))
    assert read_examples(tmp_path / "split", TEXT) == (Example("x", 1), Example("y", 0))

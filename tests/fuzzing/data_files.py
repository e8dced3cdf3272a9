"""Rows of data: CSV, JSONL and Parquet, and the rules that they are read by, told twice."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fuzzing.judge import Target
from fuzzing.mutations import as_csv, as_json_lines
from zojax.lm.tasks import Example, Task, load_task, read_examples

TEXTS = Task("texts", "classification", "{text} It was {label}", ("bad", "good"))
CHOICES = Task("choices", "multiple_choice", "{text} {label}")
ANSWERS = Task("answers", "generation", "{text} {label}")
_ROWS = Path(__file__).parents[1] / "lm" / "tasks" / "data"

Rows = Callable[[bytes], Iterable[Mapping[str, Any]]]


def csv_of_texts() -> Target:
    rows: list[Any] = [["id", "text", "label"]]
    rows += [[i, f'“film” no. {i},\nas the\t"papers" say', ("bad", 1)[i % 2]] for i in range(9)]
    return _target("a.csv", TEXTS, as_csv(rows), _csv_rows, {"a.csv": (rows, as_csv)})


def csv_of_choices() -> Target:
    rows: list[Any] = [["text", "choices", "label"]]
    rows += [[f"text {i}", json.dumps(["one", "two, or", "three"]), i % 3] for i in range(6)]
    return _target("a.csv", CHOICES, as_csv(rows), _csv_rows, {"a.csv": (rows, as_csv)})


def jsonl_of_texts() -> Target:
    return _jsonl(
        TEXTS, [{"text": f"é {i}", "label": ("good", 0)[i % 2], "n": i} for i in range(9)]
    )


def jsonl_of_choices() -> Target:
    right = [0, "two", [1, "one"], [0, 1]]
    rows: list[Any] = [
        {"text": "x", "choices": ["one", "two"], "label": right[i % 4]} for i in range(8)
    ]
    rows[3]["text"] = ["x and", "y and"]
    return _jsonl(CHOICES, rows)


def jsonl_of_answers() -> Target:
    answers = ["one", ["one", "two"], '["three", "four"]']
    return _jsonl(ANSWERS, [{"text": f"x {i}", "answers": answers[i % 3]} for i in range(9)])


def jsonl_of_squad() -> Target:
    """Nested columns."""

    def expect(content: bytes) -> list[Any]:
        found: list[Any] = []
        for row in _jsonl_rows(content):
            fields = {name: _text(row[name]) for name in ("title", "context", "question")}
            answers = _parsed(row.get("answers.text", _parsed(row.get("answers")) if 1 else None))
            if "answers.text" not in row:
                answers = _parsed(answers["text"])
            texts = answers if isinstance(answers, list) else [answers]
            found.append((fields, 0, (), (0,), tuple(map(_text, texts))))
            _must(bool(texts))
        return found

    rows = [json.loads(line) for line in (_ROWS / "squad.jsonl").read_text().splitlines()]
    task = load_task("squad")
    return Target(
        {"a.jsonl": as_json_lines(rows)},
        lambda folder: _plain(read_examples(folder / "a.jsonl", task)),
        lambda files: _some(expect(files["a.jsonl"])),
        {"a.jsonl": (rows, as_json_lines)},
    )


def jsonl_of_copa() -> Target:
    """Rows that the task makes others of."""

    def expect(content: bytes) -> list[Any]:
        found: list[Any] = []
        for row in _jsonl_rows(content):
            choices = tuple(_lower(_text(row[name]).strip()) for name in ("choice1", "choice2"))
            conjunction = {"effect": "so", "cause": "because"}[row["question"]]
            premise = _text(_text(row["premise"]).strip().removesuffix("."))
            fields = {"premise": premise, "conjunction": conjunction}
            labels = row["label"] if isinstance(row["label"], list) else [row["label"]]
            right = tuple(_place(label, choices) for label in labels)
            found.append((fields, right[0], choices, right, ()))
        return found

    rows = [json.loads(line) for line in (_ROWS / "copa.jsonl").read_text().splitlines()]
    task = load_task("copa")
    return Target(
        {"a.jsonl": as_json_lines(rows)},
        lambda folder: _plain(read_examples(folder / "a.jsonl", task)),
        lambda files: _some(expect(files["a.jsonl"])),
        {"a.jsonl": (rows, as_json_lines)},
    )


def parquet_of_texts() -> Target:
    """Pages with checksums, as most writers but pyarrow make them by default."""
    import pyarrow as pa
    from pyarrow import parquet

    def write(rows: Any) -> bytes:
        file = io.BytesIO()
        try:
            table = pa.Table.from_pylist(rows)
            parquet.write_table(table, file, write_page_checksum=True)
        except Exception:  # no column holds such values together
            return b""
        return file.getvalue()

    def read(content: bytes) -> list[dict[str, Any]]:
        return parquet.ParquetFile(io.BytesIO(content)).read().to_pylist()

    rows = [{"text": f"é {i}", "label": i % 2, "n": 0.5 * i} for i in range(40)]
    return _target("a.parquet", TEXTS, write(rows), read, {"a.parquet": (rows, write)})


def _jsonl(task: Task, rows: list[Any]) -> Target:
    documents = {"a.jsonl": (rows, as_json_lines)}
    return _target("a.jsonl", task, as_json_lines(rows), _jsonl_rows, documents)


def _target(name: str, task: Task, content: bytes, rows: Rows, documents: Any) -> Target:
    return Target(
        {name: content},
        lambda folder: _plain(read_examples(folder / name, task)),
        lambda files: _some([_example(task, row) for row in rows(files[name])]),
        documents,
    )


def _plain(examples: Iterable[Example]) -> list[Any]:
    return [(dict(e.fields), e.label, e.choices, e.right, e.answers) for e in examples]


def _csv_rows(content: bytes) -> Iterable[Mapping[str, Any]]:
    text = io.StringIO(content.decode("utf-8-sig"), newline="")
    header, *rows = csv.reader(text, strict=True)
    _must(len(set(header) - {""}) == len([name for name in header if name]))
    for row in filter(None, rows):
        yield dict(zip(header, row + [None] * len(header), strict=False))


def _jsonl_rows(content: bytes) -> Iterable[Mapping[str, Any]]:
    text = io.StringIO(content.decode("utf-8-sig"), newline=None)
    rows = [json.loads(line) for line in text if line.strip()]
    _must(all(isinstance(row, dict) for row in rows))
    return rows


def _example(task: Task, row: Mapping[str, Any]) -> tuple[Any, ...]:
    text, answers, choices, right = row["text"], (), (), None
    if task.kind == "classification":
        right = (_place(row["label"], ("bad", "good")),)
    elif task.kind == "generation":
        listed = _parsed(row["answers"])
        answers = tuple(map(_text, listed if isinstance(listed, list) else [row["answers"]]))
        _must(bool(answers))
    else:
        listed = _parsed(row["choices"])
        _must(isinstance(listed, list) and len(listed) > 1)
        choices = tuple(map(_text, listed))
        labels = row["label"] if isinstance(row["label"], list) else [row["label"]]
        right = tuple(_place(label, choices) for label in labels)
        if isinstance(_parsed(text), list):
            text = tuple(map(_text, _parsed(text)))
            _must(len(text) == len(choices))
    if isinstance(text, str):
        text = _text(text)
    _must(isinstance(text, str | tuple))
    return {"text": text}, (right or (0,))[0], choices, right or (0,), answers


def _place(label: Any, names: tuple[str, ...]) -> int:
    if isinstance(label, str):
        if label.strip() in names:
            return names.index(label.strip())
        label = int(label)
    _must(type(label) is int and 0 <= label < len(names))
    return label


def _lower(text: str) -> str:
    first, *rest = text.split(" ")
    return " ".join([first if first == "I" else first.lower(), *rest])


def _text(value: Any) -> str:
    _must(isinstance(value, str) and bool(value.strip()))
    value.encode()
    return value


def _parsed(value: Any) -> Any:
    """A cell may hold JSON."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _some(examples: list[Any]) -> list[Any]:
    _must(bool(examples))
    return examples


def _must(condition: bool) -> None:
    if not condition:
        raise ValueError

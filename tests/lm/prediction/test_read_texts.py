"""Texts from files and from a pipe: in order, a row at a time, bad ones with their line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zojax.lm.prediction import read_texts, text_format
from zojax.lm.tasks import Task, load_task

pytestmark = pytest.mark.quick

TASK = load_task("rotten-tomatoes")
RENAMED = Task("t", "classification", "{text} {label}", ("a", "b"), columns={"text": "ticket.body"})


def texts(source: Path | str, task: Task = TASK, given: str | None = None) -> list[str | None]:
    return [row.fields and row.fields["text"] for row in read_texts(source, task, given)]


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_every_format_has_the_same_rows(tmp_path: Path):
    rows = ["a film", 'two, "quoted"', "Füße", "last"]
    (tmp_path / "a.txt").write_text("\r\n".join(rows))
    (tmp_path / "a.csv").write_text(
        '\ufefflabel,text\n1,a film\n,"two, ""quoted"""\n\n2,Füße,more\n3,last\n'
    )
    lines = [json.dumps({"text": row, "label": None}) for row in rows]
    (tmp_path / "a.jsonl").write_text("\n\n".join(lines))
    for suffix in ("txt", "csv", "jsonl"):
        assert texts(tmp_path / f"a.{suffix}") == rows
    (tmp_path / "b").write_text("\n".join(lines))
    assert texts(tmp_path / "b", given="jsonl") == rows


@pytest.mark.pyarrow
def test_parquet(tmp_path: Path):
    import pyarrow as pa
    from pyarrow import parquet

    rows = [f"film {i}" for i in range(3000)]
    parquet.write_table(pa.table({"text": [*rows, None]}), tmp_path / "a.parquet")
    *found, bad = read_texts(tmp_path / "a.parquet", TASK)
    assert [row.fields and row.fields["text"] for row in found] == rows
    assert bad.where == f"{tmp_path / 'a.parquet'} row 3000"
    (tmp_path / "b.parquet").write_text("none")
    with pytest.raises(ValueError, match=r"b\.parquet cannot be read as Parquet"):
        texts(tmp_path / "b.parquet")


def test_standard_input(monkeypatch: pytest.MonkeyPatch):
    pipe(monkeypatch, b'{"text": "film"}\nstory\n')
    assert texts("-") == ['{"text": "film"}', "story"]
    pipe(monkeypatch, b'{"text": "film"}\n')
    assert texts("-", given="jsonl") == ["film"]
    pipe(monkeypatch, b"text\nfilm\n")
    assert texts("-", given="csv") == ["film"]
    with pytest.raises(ValueError, match=r"lines, csv or jsonl for standard input, got parquet"):
        texts("-", given="parquet")


def test_rows_are_read_as_they_come(monkeypatch: pytest.MonkeyPatch):
    class Pipe(io.RawIOBase):
        given = 0

        def __iter__(self) -> Iterator[bytes]:
            for self.given in range(1, 101):
                yield b"film\n"

    class Stdin:
        buffer = Pipe()

    monkeypatch.setattr(sys, "stdin", Stdin())
    for number, row in enumerate(read_texts("-", TASK), start=1):
        assert (row.where, Stdin.buffer.given) == (f"standard input:{number}", number)
    assert number == 100


def test_bad_rows_have_a_line_and_a_reason(tmp_path: Path):
    (tmp_path / "a.txt").write_text("film\n \n\nstory\n")
    rows = [*read_texts(tmp_path / "a.txt", TASK)]
    assert [row.problem == "" for row in rows] == [True, False, False, True]
    assert rows[2].where == f"{tmp_path / 'a.txt'}:3"
    assert "text must be a non-empty string, got ''" in rows[2].problem
    (tmp_path / "a.jsonl").write_text('{"text": 1}\n[1]\n{"txt": "a"}\n{\n{"text": "a"}')
    rows = [*read_texts(tmp_path / "a.jsonl", TASK)]
    assert [row.fields for row in rows] == [None] * 4 + [{"text": "a"}]
    said = ("must be a non-empty string, got 1", "must be a JSON object", "is missing", "not JSON")
    for row, problem in zip(rows, said, strict=False):
        assert problem in row.problem
    (tmp_path / "a.csv").write_text('text,n\n"film\nfilm",1\n,2\n')
    rows = [*read_texts(tmp_path / "a.csv", TASK)]
    assert [row.where for row in rows] == [f"{tmp_path / 'a.csv'}:{line}" for line in (3, 4)]
    assert rows[1].fields is None


def test_columns_are_those_of_the_task(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"ticket": {"body": "film"}}')
    assert texts(tmp_path / "a.jsonl", RENAMED) == ["film"]
    (tmp_path / "a.csv").write_text('ticket\n"{""body"": ""film""}"\n')
    assert texts(tmp_path / "a.csv", RENAMED) == ["film"]
    (tmp_path / "a.txt").write_text("film")
    assert texts(tmp_path / "a.txt", RENAMED) == ["film"]
    # boolq makes its fields of columns with other names.
    (tmp_path / "b.jsonl").write_text('{"passage": "A film.", "question": "is it long"}')
    (row,) = read_texts(tmp_path / "b.jsonl", load_task("boolq"))
    assert row.fields is not None
    assert set(row.fields) == set(load_task("boolq").fields)
    with pytest.raises(ValueError, match=r"lines must be for a task with one field, got boolq"):
        texts(tmp_path / "a.txt", load_task("boolq"))


def test_what_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"predict: there is no file .*none\.csv"):
        text_format(tmp_path / "none.csv")
    (tmp_path / "a.tsv").write_text("")
    with pytest.raises(ValueError, match=r"texts must end in \.txt, .* got .*a\.tsv"):
        text_format(tmp_path / "a.tsv")
    with pytest.raises(ValueError, match=r"texts_format must be one of lines, .* got 'tsv'"):
        text_format(tmp_path / "a.tsv", "tsv")
    (tmp_path / "a.csv").write_text("txt,label\nfilm,1\n")
    with pytest.raises(ValueError, match=r"must have text, .* got txt, label\. Did you mean 'txt'"):
        texts(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text('text\nfilm\n"film\n')
    with pytest.raises(ValueError, match=r"b\.csv:3: not CSV"):
        texts(tmp_path / "b.csv")
    (tmp_path / "a.txt").write_bytes(b"film\n\xff\n")
    with pytest.raises(ValueError, match=r"a\.txt:2: texts must be in UTF-8"):
        texts(tmp_path / "a.txt")

"""Prompts to go on with, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chats import chat, write_rows

from zojax.lm.prediction import PromptRow, read_prompts
from zojax.lm.sequences import Columns, SequenceKind

pytestmark = pytest.mark.quick


def read(path: Path, kind: SequenceKind, **settings: Any) -> list[PromptRow]:
    return list(read_prompts(path, kind, Columns(**settings)))


def test_the_last_answer_of_a_conversation_is_to_be_written(tmp_path: Path):
    rows = [{"messages": chat("a", "b", "c", "d")}, {"messages": chat("a", "b", "c")}]
    found = read(write_rows(tmp_path / "rows.jsonl", rows), "chat")
    assert [list(row.prompt or ()) for row in found] == [chat("a", "b", "c")] * 2


def test_lines_and_columns_of_other_names(tmp_path: Path):
    lines = tmp_path / "lines.txt"
    lines.write_text("a film?\n\nit was\n")
    found = read(lines, "chat")
    assert [row.prompt for row in found] == ["a film?", None, "it was"]
    assert found[1].where.endswith("lines.txt:2")
    table = tmp_path / "table.csv"
    table.write_text("question,text\na film?,b\n")
    assert [row.prompt for row in read(table, "instruction", prompt="question")] == ["a film?"]
    assert [row.prompt for row in read(table, "text")] == ["b"]
    with pytest.raises(ValueError, match=r"the columns must have prompt, .*got question, text"):
        read(table, "instruction")


def test_bad_rows_say_what_is_wrong(tmp_path: Path):
    rows = [{"messages": "a"}, {"messages": chat("a", "b")[1:]}, {"text": "a"}, [1]]
    found = read(write_rows(tmp_path / "rows.jsonl", rows), "chat")
    assert [row.prompt for row in found] == [None] * 4
    assert found[0].problem == "messages must be a list of objects, got 'a'."
    assert "must have a message of another role than assistant" in found[1].problem
    assert "messages is missing" in found[2].problem
    assert "a line must be a JSON object" in found[3].problem

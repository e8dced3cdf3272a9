"""Files of chats, instructions and plain text, and what their columns say they are."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from chats import GEMMA, chat, chat_tokenizer, write_rows

from zojax.lm.sequences import (
    Columns,
    Read,
    Segment,
    SequenceKind,
    kind_of,
    read_chat_template,
    read_sequences,
)
from zojax.lm.tasks import Fixes

pytestmark = pytest.mark.quick

FIXES = Fixes("finetune", "Correct the rows", "Name the columns")


def read(path: Path, kind: SequenceKind, *, skip: bool = False, **columns: str) -> Read:
    template = read_chat_template(chat_tokenizer(GEMMA), "it") if kind == "chat" else None
    return read_sequences(
        kind, {"train": path}, Columns(**columns), template, skip_wrong=skip, fixes=FIXES
    )


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"messages": []}, "chat"),
        ({"prompt": "a", "completion": "b"}, "instruction"),
        ({"text": "a"}, "text"),
        ({"text": "a", "source": "web"}, "classification"),  # which may be the class
        ({"text": "a", "label": 1}, "classification"),
        ({"text": "a", "label": 1, "messages": []}, "classification"),
        ({"prompt": "a"}, "classification"),
        ({"ticket": "a", "queue": "b"}, "classification"),
    ],
)
def test_the_columns_say_what_rows_are(row: dict[str, Any], kind: str, tmp_path: Path):
    assert kind_of(write_rows(tmp_path / "rows.jsonl", [row]), Columns()) == kind


def test_names_of_columns_and_of_files(tmp_path: Path):
    path = write_rows(tmp_path / "rows.jsonl", [{"q": "a", "a": "b"}, {"q": "c", "a": "d"}])
    assert kind_of(path, Columns(prompt="q", completion="a")) == "instruction"
    assert kind_of(path, Columns(text="q")) == "classification"
    assert kind_of(path, Columns(text="q", label="a")) == "classification"
    assert kind_of(tmp_path / "book.TXT", Columns()) == "text"
    found = read(path, "instruction", prompt="q", completion="a").rows["train"]
    assert found[1] == (Segment("c", learnt=False), Segment("d", learnt=True))


def test_a_text_file_is_one_text(tmp_path: Path):
    path = tmp_path / "book.txt"
    path.write_bytes("\ufeffA film.\r\n\r\nIt was great.\n".encode())
    ((segment,),) = read(path, "text").rows["train"]
    assert segment == Segment("A film.\n\nIt was great.\n", learnt=True)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"book\.txt must be text in UTF-8"):
        read(path, "text")
    path.write_text(" \n")
    with pytest.raises(ValueError, match="1 of 1 rows is wrong"):
        read(path, "text")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read(tmp_path / "gone.txt", "text")


def test_csv_has_messages_as_json(tmp_path: Path):
    with (tmp_path / "chats.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["talk"], [json.dumps(chat("a film?", "great"))]])
    ((question, answer),) = read(tmp_path / "chats.csv", "chat", messages="talk").rows["train"]
    assert question.text.endswith("<start_of_turn>model\n")
    assert answer == Segment("great<end_of_turn>", learnt=True)


WRONG = {
    "messages must be a list of objects, got 'hi'": {"messages": "hi"},
    r"messages must be a list of objects, got \[\]": {"messages": []},
    "messages must contain objects, got 'hi'": {"messages": ["hi"]},
    "must have a non-empty role in message 0, got None": {"messages": [{"content": "a"}]},
    "must have a non-empty content in message 1, got ' '": {"messages": chat("a", " ")},
    "must have an answer, of role assistant, after a question, got user$": {"messages": chat("a")},
    "must begin with a message of another role": {
        "messages": [*chat("a", "b")[1:], *chat("a", "b")]
    },
    r"cannot be read: the chat template refuses it \(System role": {
        "messages": chat("a", "b", system="c")
    },
    "messages is missing; the columns are text": {"text": "a"},
}


def test_all_wrong_rows_are_told_at_once(tmp_path: Path):
    good = [{"messages": chat("a", "b")}]
    path = write_rows(tmp_path / "chats.jsonl", [*good, *WRONG.values(), *good * 2])
    with path.open("a") as file:
        file.write("{not JSON\n")
    with pytest.raises(ValueError, match="finetune: 10 of 13 rows are wrong:") as error:
        read(path, "chat")
    lines = str(error.value).splitlines()
    assert len(lines) == 12
    for number, reason in enumerate(WRONG, start=2):
        (line,) = (line for line in lines if f"chats.jsonl:{number}: " in line)
        assert re.search(reason, line), line
    assert lines[-1] == "Correct the rows."
    found = read(path, "chat", skip=True)
    assert (len(found.rows["train"]), len(found.wrong)) == (3, 10)


def test_missing_columns_are_told_with_those_that_there_are(tmp_path: Path):
    path = write_rows(tmp_path / "rows.jsonl", [{"promt": "a", "completion": "b"}])
    message = r"has no column prompt \(did you mean 'promt'\?\); its columns are promt, completion"
    with pytest.raises(ValueError, match=message):
        read(path, "instruction")
    path.write_text("\n")
    with pytest.raises(ValueError, match="has no rows"):
        read(path, "text")

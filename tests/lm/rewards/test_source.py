"""How a reward is asked for, and rewards that have a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zojax.lm.rewards import RewardPool, read_reward

pytestmark = pytest.mark.quick

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def scores(reward: str, *texts: str, row: dict[str, Any] | None = None) -> list[float | None]:
    with RewardPool("finetune", read_reward("finetune", reward), seconds=5.0, processes=1) as pool:
        return [score.value for score in pool.score(texts, [row or {}] * len(texts))]


def test_words_is_the_ratio_of_the_numbers():
    assert scores("words:4", "", "a b", "a b c d", " a b  c d e f g h") == [0.0, 0.5, 1.0, 0.5]


def test_exact_is_a_columns_text():
    row = {"answer": " 42 ", "best": "x"}
    assert scores("exact", "42", " 42\n", "4 2", row=row) == [1.0, 1.0, 0.0]
    assert scores("exact:best", "x", "42", row=row) == [1.0, 0.0]
    assert read_reward("finetune", "exact:best").columns == ("best",)


def test_regex_is_found_anywhere():
    assert scores(r"regex:^\d+: a", "12: a b", "x 12: a", "12") == [1.0, 0.0, 0.0]


def test_json_schema_tells_three_levels(tmp_path: Path):
    pytest.importorskip("jsonschema")
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    assert scores(f"json_schema:{path}", '{"n": 3}', '{"n": "x"}', "[]", "{n: 3}") == [
        1.0,
        0.5,
        0.5,
        0.0,
    ]


@pytest.mark.parametrize(
    ("reward", "error", "message"),
    [
        ("word:10", ValueError, r"got 'word:10'\. Did you mean words\?"),
        ("judge", ValueError, r"must be FILE\.py:function, or one of exact:COLUMN, regex:PATTERN"),
        ("words", ValueError, r"reward words must be given as words:NUMBER, got 'words'"),
        ("words:ten", ValueError, r"must be a number of words >= 1, got 'ten'"),
        ("words:0", ValueError, r"must be a number of words >= 1, got '0'"),
        ("exact:", ValueError, r"reward exact must be given as exact:COLUMN"),
        ("regex:(", ValueError, r"must be a regular expression, got '\('"),
        ("none.py:f", FileNotFoundError, r"must be in a file that exists, got .*none\.py"),
        ("json_schema:none.json", FileNotFoundError, r"json_schema must be a file"),
        ("classifier:none", FileNotFoundError, r"classifier must be the folder of a run"),
    ],
)
def test_what_is_meant_is_said(reward: str, error: type[Exception], message: str):
    if reward.startswith("json_schema"):
        pytest.importorskip("jsonschema")
    with pytest.raises(error, match=f"^finetune: .*{message}"):
        read_reward("finetune", reward)


def test_functions_of_a_file_are_named(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("from math import sqrt\n\ndef ten_words(completion, row):\n    return 1.0\n")
    for asked in (f"{path}", f"{path}:", f"{path}:ten_word"):
        with pytest.raises(ValueError, match=r"must name a function of .*mine\.py:ten_words\?"):
            read_reward("finetune", asked)
    assert read_reward("finetune", f"{path}:ten_words").text == f"{path}:ten_words"
    assert read_reward("finetune", f"{path}:sqrt").name == "sqrt"  # bound by an import
    path.write_text("x = 3\n")
    with pytest.raises(ValueError, match="It has no functions"):
        read_reward("finetune", f"{path}:f")
    path.write_text("def f(:\n")
    with pytest.raises(ValueError, match="must be in a Python file"):
        read_reward("finetune", f"{path}:f")


def test_a_schema_is_checked_before_anything_runs(tmp_path: Path):
    pytest.importorskip("jsonschema")
    path = tmp_path / "schema.json"
    for content in ("{", "3", '{"type": "number of things"}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"must be a JSON schema, got .*schema\.json"):
            read_reward("finetune", f"json_schema:{path}")


def test_a_path_is_absolute_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.py").write_text("def f(completion, row): ...\n")
    monkeypatch.chdir(tmp_path)
    assert read_reward("finetune", "mine.py:f").text == f"{tmp_path / 'mine.py'}:f"

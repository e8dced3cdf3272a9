"""Prose is wrapped between words on a terminal; what is copied stays whole."""

from __future__ import annotations

import io
import re

import pytest

from zojax.cli._text import columns, wrapped

pytestmark = pytest.mark.quick

PATH = "/a/very/long/path/that/has-dashes-in-it/and/is/longer/than/the/terminal/is/wide"
TEXT = (
    f'the model is in {PATH} and needs torch: pip install "zojax[transformers]" or leave it; '
    "`zojax finetune --resume runs/mine --overwrite` begins again, and "
    "zojax finetune --help says more."
)  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 80])
def test_commands_and_paths_stay_whole(width: int):
    lines = wrapped(TEXT, width).split("\n")
    assert " ".join(lines) == TEXT
    whole = (
        PATH,
        'pip install "zojax[transformers]"',
        "`zojax finetune --resume runs/mine --overwrite`",
        "zojax finetune --help",
    )
    for text in whole:
        assert any(text in line for line in lines)
    held = re.compile("|".join(map(re.escape, whole)))
    assert all(len(line) <= width or held.search(line) for line in lines)


def test_a_line_that_is_indented_is_a_command_to_copy():
    command = f"    zojax finetune --resume {PATH} --overwrite"
    assert wrapped(f"Resume the run:\n{command}", 20).split("\n") == ["Resume the run:", command]


def test_what_is_no_terminal_gets_lines_as_they_are(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert columns(io.StringIO()) is None
    assert wrapped(TEXT, None) == TEXT
    monkeypatch.setenv("COLUMNS", "72")
    assert columns(Terminal()) == 72
    monkeypatch.setenv("COLUMNS", "300")
    assert columns(Terminal()) == 100

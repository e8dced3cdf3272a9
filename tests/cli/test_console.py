"""What a run shows as it goes on: lines in a file, a bar and seconds that pass on a terminal."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import pytest

from zojax.cli._console import BarConsole, Console, make_console
from zojax.lm.rewards import RewardFigures
from zojax.lm.training import Result, Scores, Tick

TICKS = (
    Tick(4, 0.5, 0, 8, 2.0, Scores(0.75, 0.4, 8), {}, None, False),
    Tick(5, 0.25, 0, 10, 2.0, None, {}, None, False),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What stays on the screen or was there for a while, without movements of the cursor."""
        return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9?;]*[A-Za-z]", "", self.getvalue()))


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard output a terminal; pytest would replace that of a fixture."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch):
    terminal = open_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "120")
    with make_console() as console:
        assert isinstance(console, BarConsole)
        console.started(10)
        for tick in TICKS:
            console.ticked(tick)
        console.stopped()
    drawn = terminal.getvalue()
    assert "5/10" in drawn
    assert "loss 0.2500  accuracy 75.0%  5 passes/s" in drawn


def test_seconds_pass_on_a_terminal_while_a_program_compiles(monkeypatch: pytest.MonkeyPatch):
    terminal = open_terminal(monkeypatch)
    with make_console() as console:
        console.status("compiling a [step]")
        time.sleep(1.2)
        console.compiled("a [step]", 1.2)
        console.line("and goes on")
    lines = [line.strip() for line in terminal.lines()]
    assert "compiling a [step] ... 0:00:01" in lines
    (left,) = (line for line in lines if line.endswith(" s"))
    assert re.fullmatch(r"compiling a \[step\] \.\.\. 1\.[2-9] s", left)
    assert lines.index(left) < lines.index("and goes on")


def test_while_the_bar_is_drawn_lines_stand_above_it(monkeypatch: pytest.MonkeyPatch):
    terminal = open_terminal(monkeypatch)
    with make_console() as console:
        console.started(10)
        console.status("compiling a step")
        console.compiled("a step", 3.21)
    assert "compiling a step ..." in terminal.lines()
    assert "compiled a step in 3.2 s" in terminal.lines()


def test_an_error_leaves_the_terminal_as_it_was(monkeypatch: pytest.MonkeyPatch):
    terminal = open_terminal(monkeypatch)

    def fail() -> None:
        with make_console() as console:
            console.status("loading")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    shown, hidden = (terminal.getvalue().rfind(f"\x1b[?25{end}") for end in "hl")
    assert shown > hidden >= 0  # the cursor


@pytest.mark.quick
def test_no_terminal_gets_lines(capsys: pytest.CaptureFixture[str]):
    with make_console() as console:
        assert type(console) is Console
        written = Scores(0.25, 0.4, 8, f1=0.75, exact_match=0.5)
        console.status("compiling a step")
        console.compiled("a step", 3.21)
        console.measured("zero-shot", written)
        console.started(10)
        console.ticked(TICKS[0]._replace(dev=written))
    begins, compiled, test, dev = capsys.readouterr().out.splitlines()
    assert (begins, compiled) == ("compiling a step ...", "compiled a step in 3.2 s")
    assert test == "zero-shot  F1 75.0%, exact match 50.0% of 8 test examples"
    assert "dev F1 75.0%" in dev
    console.measured("tuned", Scores(None, 2.0, 8, tokens=90))
    console.ticked(TICKS[0]._replace(dev=Scores(None, 2.0, 8, tokens=90)))
    test, dev = capsys.readouterr().out.splitlines()
    assert test == "tuned      perplexity 7.389, loss 2.0000 of 90 tokens of 8 test rows"
    assert "dev perplexity 7.389" in dev


FOLDER = Path("/a folder/of/many/runs/whose/name/is/as/long/as/names/of/folders/often/are/my run")
INTERRUPTED = Result(
    folder=FOLDER,
    model_folder=FOLDER / "model",
    steps=7,
    best_step=0,
    skipped=0,
    signal=2,
    start=None,
    zero_shot=None,
    tuned=None,
    best=None,
    seconds={"total": 1.0, "steps": 0.5, "compile": 0.2, "load": 0.3},
)


@pytest.mark.quick
def test_rewards_have_their_spread_and_failures(capsys: pytest.CaptureFixture[str]):
    scores = Scores(
        None, -0.5, 8, reward=0.5, reward_best=1.0, reward_spread=0.25, length=9.5, failures=2
    )
    figures = RewardFigures(0.25, 0.75, 0.125, 8.0, 0)
    with Console() as console:
        console.started(4)
        console.measured("tuned", scores)
        console.ticked(TICKS[0]._replace(dev=scores, rewards=figures))
        console.reward_failed("the reward failed at prompts.jsonl:3: ValueError")
    first, second, note = capsys.readouterr().out.splitlines()
    assert first == (
        "tuned      reward 0.5 of 8 test prompts, best 1, spread 0.25, length 9.5, 2 failed"
    )
    assert "  reward 0.25, best 0.75, spread 0.12, length 8.0  dev reward 0.5  " in second
    assert note == "note: the reward failed at prompts.jsonl:3: ValueError"


def test_commands_to_copy_stand_on_lines_of_their_own(monkeypatch: pytest.MonkeyPatch):
    terminal = open_terminal(monkeypatch)
    with make_console() as console:
        console.report(INTERRUPTED)
    lines = terminal.lines()
    assert f"    zojax eval '{FOLDER}'" in lines
    assert f"    zojax finetune --resume '{FOLDER}'" in lines
    others = [line for line in lines if str(FOLDER) not in line and "/" not in line]
    assert max(map(len, others)) <= 80
    told = " ".join(others[others.index("") + 1 :])
    assert "are saved. To measure the model, or to resume the run:" in told

"""Whole studies on a tiny model: what is run, what is kept, and what is written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from zojax.cli import main
from zojax.lm.comparison import (
    Record,
    Records,
    Run,
    StudyObserver,
    _execute,
    check,
    compare,
    load_study,
)
from zojax.lm.comparison._execute import best_of, execute

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

STUDY = """
title = "tiny"
models = ["MODEL"]
forward_passes = 8
seeds = [0, 1]
evaluations = 2

[options]
batch_size = 4
num_buckets = 1

[tasks.mine]
train = "FOLDER/train.csv"
test = "FOLDER/test.csv"

[methods.zero-shot]
baseline = "zero-shot"

[methods.mezo]
optimizer = "mezo"
grid.learning_rate = [1e-3, 1e-2]

[methods.adam]
optimizer = "adam"
learning_rate = 1e-2
"""


class Heard(StudyObserver):
    def __init__(self) -> None:
        self.runs: list[tuple[str, str, int, Any]] = []
        self.total = 0

    def planned(self, study: Any, runs: int) -> None:
        self.total = runs

    def ended(self, run: Run, record: Record) -> None:
        rate = run.point.get("learning_rate")
        self.runs.append((run.cell.method, run.stage, run.seed, rate))


@pytest.fixture
def path(tiny_opt: Path, tmp_path: Path) -> Path:
    for name, count in (("train", 24), ("test", 16)):
        rows = "\n".join(f"{('film', 'story')[i % 2]} a It {i},{i % 2}" for i in range(count))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    text = STUDY.replace("MODEL", str(tiny_opt)).replace("FOLDER", str(tmp_path))
    (tmp_path / "study.toml").write_text(text)
    return tmp_path / "study.toml"


def no_runs(monkeypatch: pytest.MonkeyPatch, scores: dict[Any, float] | None = None) -> None:
    """Let every run come to what ``scores`` has for its method, stage and point."""

    def measure(run: Run) -> Record:
        key = (run.cell.method, run.stage, run.point.get("learning_rate"))
        score = (scores or {}).get(key, 0.5)
        about = {"key": run.key, **run.cell.name, "stage": run.stage, "point": dict(run.point)}
        return about | {"seed": run.seed, "dev": score, "dev_loss": 1.0, "test": score}

    monkeypatch.setattr(Run, "measure", measure)


def test_a_study_is_run_and_written_and_not_run_again(path: Path):
    study, folder, heard = load_study(path), path.parent / "out", Heard()
    entries = compare(study, folder, observer=heard)
    assert heard.total == len(heard.runs) == 2 + 1 + 2 + 2
    rates = {rate for method, stage, _, rate in heard.runs if (method, stage) == ("mezo", "report")}
    assert len(rates) == 1
    # The grid comes first, with a seed of its own; then seed by seed.
    assert [run[1:3] for run in heard.runs] == [
        ("tune", 1000),
        ("tune", 1000),
        *[("report", 0)] * 3,
        *[("report", 1)] * 2,
    ]
    records = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    by_method = {record["method"]: record for record in records if record["stage"] == "report"}
    # 8 forward passes: 4 steps of MeZO, 2 of Adam, which counts as 3 a step.
    assert by_method["mezo"]["steps"] == 4
    assert by_method["mezo"]["forward_passes"] == 8
    assert by_method["adam"]["steps"] == 2
    assert [point[0] for point in by_method["mezo"]["curve"]] == [0, 4, 8]
    assert max(point[2] for point in by_method["mezo"]["curve"]) == by_method["mezo"]["dev"]
    # What chooses has not looked at test.
    assert {record["stage"] for record in records if "test" not in record} == {"tune"}
    assert {record["stage"] for record in records if "test" in record} == {"report"}
    assert {p.suffix for p in folder.iterdir()} == {
        ".jsonl",
        ".md",
        ".tex",
        ".html",
        ".json",
        ".png",
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert [entry["mean"] for entry in summary["entries"]] == [entry.mean for entry in entries]
    assert [len(entry["scores"]) for entry in summary["entries"]] == [1, 2, 2]
    assert "over 2 seeds, at 8 forward passes" in summary["caption"]
    assert {"jax", "zojax"} <= summary["versions"].keys()

    again = Heard()
    assert compare(study, folder, observer=again) == entries
    assert again.runs == []


@pytest.mark.slow
def test_a_run_is_repeated_to_the_bit(path: Path):
    cell = next(c for c in load_study(path).cells() if c.method == "mezo")
    run = Run(cell, "report", cell.candidates()[0], {}, 3)
    first, second = run.measure(), run.measure()
    for record in (first, second):
        del record["seconds"]
        record["curve"] = [[passes, score] for passes, _, score in record["curve"]]
    assert first == second


@pytest.mark.slow
def test_runs_in_several_processes_are_those_of_one(path: Path):
    text = path.read_text()
    # The first baseline alone, on two tasks.
    task = text[text.index("[tasks.mine]") : text.index("[methods.zero-shot]")]
    bare = task.replace("[tasks.mine]", "[tasks.bare]\nbare = true")
    path.write_text(text[: text.index("[methods.mezo]")].replace(task, task + bare))
    scores = [
        [entry.scores for entry in compare(load_study(path), path.parent / f"{jobs}", jobs=jobs)]
        for jobs in (1, 2)
    ]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2


def test_the_best_on_dev_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch):
    no_runs(monkeypatch, {("mezo", "tune", 1e-3): 0.9, ("mezo", "tune", 1e-2): 0.8})
    heard = Heard()
    execute(load_study(path), Records(path.parent / "runs.jsonl"), heard)
    assert {rate for _, stage, _, rate in heard.runs if stage == "report"} == {1e-3, None}


def test_a_study_that_was_cut_off_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch):
    no_runs(monkeypatch)
    study, file = load_study(path), path.parent / "runs.jsonl"
    execute(study, Records(file), Heard())
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:3]) + lines[3][:20])  # killed as it wrote
    heard = Heard()
    execute(study, Records(file), heard)
    assert len(heard.runs) == len(lines) - 3
    assert sorted(file.read_text().splitlines()) == sorted(line.strip() for line in lines)


class Stopped(Heard):
    """Is interrupted after some runs."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def ended(self, run: Run, record: Record) -> None:
        super().ended(run, record)
        if len(self.runs) == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("after", "found"), [(1, {}), (4, {"zero-shot": 1, "mezo": 1})])
def test_an_interrupted_study_has_a_table_of_what_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, after: int, found: dict[str, int]
):
    no_runs(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compare(load_study(path), path.parent / "out", observer=Stopped(after))
    if not found:  # the grid alone
        assert {p.name for p in (path.parent / "out").iterdir()} == {"runs.jsonl"}
        return
    summary = json.loads((path.parent / "out" / "summary.json").read_text())
    assert {e["method"]: len(e["scores"]) for e in summary["entries"]} == found
    assert "over 1 to 2 seeds (the study is not finished)" in summary["caption"]
    assert "not finished" in (path.parent / "out" / "table.md").read_text()


def test_a_run_that_broke_down_is_not_the_best(path: Path, monkeypatch: pytest.MonkeyPatch):
    no_runs(monkeypatch)
    cell = next(c for c in load_study(path).cells() if c.method == "mezo")
    runs = [Run(cell, "tune", options, {}, 0) for options in cell.candidates()]
    records = Records(path.parent / "runs.jsonl")
    records.add({"key": runs[0].key, "point": {}, "dev": 0.0, "test": 0.0, "failed": "..."})
    records.add({"key": runs[1].key, "point": {}, "dev": 0.0, "dev_loss": 3.0, "test": 0.0})
    assert best_of(runs, records) == runs[1]


def test_what_cannot_run_is_refused_before_the_first_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    no_runs(monkeypatch)
    heard = Heard()
    path.with_name("book.txt").write_text("a film. It was great. " * 300)
    path.with_name("test.txt").write_text("a film. It was great.")
    for old, new, error in (
        ('optimizer = "adam"', 'optimizer = "adam"\neps = 1.0', "adam must not be given eps"),
        ('optimizer = "adam"', 'optimizer = "adams"', "Invalid enum value 'adams'"),
        ("/train.csv", "/none.csv", "none.csv"),
        ("/train.csv", "/book.txt", "book.txt with rows of another kind"),
    ):
        changed = path.with_name("changed.toml")
        changed.write_text(path.read_text().replace(old, new))
        with pytest.raises((ValueError, OSError), match=error):
            compare(load_study(changed), path.parent / "out", observer=heard)
    assert heard.runs == []
    assert check(load_study(path)) == 7


def test_wrong_rows_are_said_before_a_model_loads(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_execute, "load_to_tune", lambda _: pytest.fail("a model loads"))
    with path.with_name("train.csv").open("a") as file:
        file.write(",1\n")
    with pytest.raises(ValueError, match=r"train\.csv:26: "):
        check(load_study(path))


def test_a_folder_of_something_else_is_left_alone(path: Path):
    with pytest.raises(FileExistsError, match=r"compare: output must be a new or empty folder"):
        compare(load_study(path), path.parent)
    with pytest.raises(ValueError, match=r"compare: jobs must be >= 1, got 0\."):
        compare(load_study(path), path.parent / "out", jobs=0)


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "{",
        '{"key": "b"}',
        '{"key": "b", "point": {}, "dev": NaN, "test": 0.5}',
        '{"key": "b", "stage": "report", "point": {}, "dev": 0.5}',
        '{"key": "b", "stage": "tune", "point": {}, "test": 0.5}',
        '{"key": "b", "point": {}, "dev": 0.5, "test": 70}',
        '{"key": "b", "point": {}, "dev": 0.5, "test": 0.5, "curve": [[1, 2]]}',
        '{"key": 1, "point": {}, "dev": 0.5, "test": 0.5}',
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str):
    good = '{"key": "a", "point": {}, "dev": 0.5, "dev_loss": Infinity, "test": 0.5}'
    (tmp_path / "runs.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(ValueError, match=r"line 2 of .*runs\.jsonl is no record of a run"):
        Records(tmp_path / "runs.jsonl")


def test_a_torn_line_is_cut_off_whatever_ends_the_lines(tmp_path: Path):
    good = b'{"key": "a", "point": {}, "dev": 0.5, "test": 0.5}\r\n'
    (tmp_path / "runs.jsonl").write_bytes(good * 3 + b'{"key": "b", "po')
    assert len(Records(tmp_path / "runs.jsonl")) == 1
    assert (tmp_path / "runs.jsonl").read_bytes() == good * 3


def test_the_command(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    no_runs(monkeypatch)
    assert main(["compare", str(path), "--check"]) == 0
    assert capsys.readouterr().out.endswith("7 runs\n")
    folder = path.parent / "out"
    assert main(["compare", str(path), f"--output={folder}"]) == 0
    printed = capsys.readouterr().out
    assert "mine: mezo" not in printed
    assert "[7/7, 0 h 00 min left]" in printed
    assert "| mezo | full | 50.0 ± 0.0 |" in printed
    assert main(["compare", str(path.with_name("none.toml"))]) == 1
    assert "zojax: load_study: there is no file" in capsys.readouterr().err


def test_runs_of_an_older_choice_are_not_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from zojax.cli._compare import LiveTable

    better = {("mezo", stage, 1e-1): 0.9 for stage in ("tune", "report")}
    no_runs(monkeypatch, better)
    folder = path.parent / "out"
    assert main(["compare", str(path), f"--output={folder}"]) == 0
    path.write_text(path.read_text().replace("[1e-3, 1e-2]", "[1e-3, 1e-2, 1e-1]"))
    capsys.readouterr()
    assert main(["compare", str(path), f"--output={folder}"]) == 0
    printed = capsys.readouterr().out
    assert "2 of the runs were made before" in printed  # of the grid
    assert "3 of the runs were made before" in printed  # zero-shot, and Adam with two seeds
    assert "[8/8, 0 h 00 min left]" in printed
    table = LiveTable()
    monkeypatch.setattr(table, "_live", Silent())
    compare(load_study(path), folder, observer=table)
    drawn = drawing(table)
    assert "90.0 (2)" in drawn
    assert "(4)" not in drawn


def drawing(table: Any) -> str:
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table._draw())
    return console.export_text()


def test_the_table_on_a_terminal_fills(path: Path, monkeypatch: pytest.MonkeyPatch):
    from zojax.cli._compare import LiveTable

    no_runs(monkeypatch)
    table = LiveTable()
    monkeypatch.setattr(table, "_live", Silent())
    compare(load_study(path), path.parent / "out", observer=table)
    drawn = drawing(table)
    assert "50.0 (1)" in drawn
    assert drawn.count("50.0 (2)") == 2


class Silent:
    is_started = True

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def update(self, _: Any) -> None: ...

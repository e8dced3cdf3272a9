"""``zojax predict``: a line for each text on standard output, progress on standard error."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from zojax.cli import main
from zojax.lm.prediction import load_run
from zojax.lm.training import DataConfig, FinetuneConfig
from zojax.lm.training._run_folder import RunFolder

TEXTS = ["film a", "story, long", "film " * 40]


@pytest.fixture(scope="module")
def run(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that did not get better than the model that it began with."""
    folder = tmp_path_factory.mktemp("run")
    config = FinetuneConfig(model=str(tiny_opt), eval_batch_size=2, data=DataConfig())
    RunFolder(folder, config).write_results({"best_step": 0})
    return folder


@pytest.fixture(scope="module")
def expected(run: Path) -> list[str]:
    found = load_run(run).predict(TEXTS)
    return ["\t".join([p.label, *(f"{s:.4f}" for s in p.scores.values())]) for p in found]


def rounded(lines: str) -> list[str]:
    rows = [line.split("\t") for line in lines.splitlines()]
    return ["\t".join([label, *(f"{float(s):.4f}" for s in scores)]) for label, *scores in rows]


def test_a_table(
    run: Path, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    assert main(["predict", str(run), "--texts", str(tmp_path / "a.txt")]) == 0
    printed = capsys.readouterr()
    header, lines = printed.out.split("\n", 1)
    assert header == "label\tterrible\tgreat"
    assert rounded(lines) == expected
    assert f"loading {run} ..." in printed.err
    assert "compiling the forward pass" in printed.err
    assert "3 rows in " in printed.err


def test_standard_input_and_json_lines(
    run: Path,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    lines = "\n".join(json.dumps({"text": text}) for text in TEXTS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    options = ["--texts=-", "--texts-format=jsonl", "--format=jsonl"]
    assert main(["predict", str(run), *options]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["label"] for row in found] == [line.split("\t")[0] for line in expected]
    assert {*found[0]["scores"]} == {"terrible", "great"}


def test_bad_rows(
    run: Path, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "a.txt"
    file.write_text("\n".join([TEXTS[0], "", *TEXTS[1:]]))
    assert main(["predict", str(run), f"--texts={file}"]) == 1
    error = capsys.readouterr().err
    assert f"zojax: predict: {file}:2: text must be a non-empty string, got ''." in error
    assert main(["predict", str(run), f"--texts={file}", "--skip-bad-rows"]) == 0
    printed = capsys.readouterr()
    _, first, bad, *others = printed.out.splitlines()
    assert bad == "-\t-\t-"
    assert rounded("\n".join([first, *others])) == expected
    assert "4 rows in " in printed.err
    assert ", 1 of them without a text" in printed.err


def test_a_reader_that_stops_ends_it_quietly(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "a.txt").write_text("film\n" * 20)
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["predict", str(run), f"--texts={tmp_path / 'a.txt'}"]) == 0
        closed.write("what is left goes nowhere")
    error = capsys.readouterr().err
    assert "Broken" not in error
    assert "rows in" not in error


@pytest.mark.quick
def test_a_wrong_file_is_refused_before_the_model_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["predict", str(tmp_path / "no-run"), f"--texts={tmp_path / 'a.csv'}"]) == 1
    assert f"zojax: predict: there is no file {tmp_path / 'a.csv'}" in capsys.readouterr().err


@pytest.mark.quick
def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--help"])
    assert stop.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "zojax predict runs/mine --texts tickets.csv" in printed
    assert "--skip-bad-rows" in printed

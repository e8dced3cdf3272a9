"""The command line: options in, figures out, errors without a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from zojax.cli import main


@pytest.fixture
def arguments(tiny_opt: Path, tmp_path: Path) -> list[str]:
    for name in ("train", "test"):
        rows = "\n".join(f"film {i},{i % 2}" for i in range(20))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    data = [f"--{name}={tmp_path / name}.csv" for name in ("train", "test")]
    sizes = ["--steps=4", "--batch-size=4", "--eval-every=2", "--num-buckets=1"]
    return ["finetune", f"--model={tiny_opt}", "--optimizer=sgd", *data, *sizes]


def test_finetune_and_eval_print_the_same_accuracy(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    options = ["--learning-rate=0.1", "--seed=3", "--start=words"]
    assert main([*arguments, f"--output={run}", *options]) == 0
    printed = capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    assert (config["seed"], config["hyper"]["learning_rate"]) == (3, 0.1)
    results = json.loads((run / "results.json").read_text())["test"]
    report = printed.split("\n\n")[-1]
    for name in ("zero-shot", "tuned", "best"):
        accuracy = results[name.replace("-", "_")]["accuracy"]
        assert re.search(rf"{name} +{accuracy:.1%} of 20 test examples", report)
    assert f"run        {run}\n" in report
    assert f"model      {run / 'model'}\n" in report
    assert re.search(
        r"^compiled sgd's step for 8 x \d+ tokens in \d+\.\d s$", printed, re.MULTILINE
    )
    assert re.search(r"^words +\d+\.\d% +\d+\.\d% +0  <- taken$", printed, re.MULTILINE)
    assert re.search(r"step 2/4  loss \d\.\d{4}  dev accuracy .*% .* forward passes/s", printed)

    assert main(["eval", str(run)]) == 0
    tuned = f"tuned      {results['tuned']['accuracy']:.1%} of 20 test examples"
    assert tuned in capsys.readouterr().out

    assert main([*arguments, f"--output={run}"]) == 1
    assert "there is a run in" in capsys.readouterr().err


@pytest.mark.quick
def test_errors_have_a_message_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert main(["finetune", "--optimizer=adam", "--eps=1"]) == 1
    error = capsys.readouterr().err
    assert "zojax: finetune: adam must not be given eps" in error
    assert "Traceback" not in error
    monkeypatch.setenv("ZOJAX_TRACEBACK", "1")
    with pytest.raises(ValueError, match="adam must not be given eps"):
        main(["finetune", "--optimizer=adam", "--eps=1"])


def test_a_mesh_of_more_devices_than_there_are(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["finetune", "--mesh=data=4,model=4", f"--output={tmp_path / 'run'}"]) == 1
    assert "8 of cpu, got data=4,model=4, which are 16" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.quick
def test_replay_needs_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "model"
    assert main(["replay", "opt-mini", str(tmp_path / "none.log"), f"--output={output}"]) == 1
    assert "there is no trajectory log" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.quick
def test_version(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"zojax \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.plan
@pytest.mark.usefixtures("standard_promotion")
def test_plan_prints_and_writes_what_it_is_asked_to(
    tiny_opt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    figures, chart = tmp_path / "plan.json", tmp_path / "plan.png"
    command = ["plan", f"--model={tiny_opt}", "--optimizer=mezo", "--batch=2", "--length=16"]
    files = [f"--json={figures}", f"--chart={chart}"]
    assert main([*command, *files]) == 0
    printed = capsys.readouterr()
    assert "fits, 85.10 GB left" in printed.out
    assert "compiling the step of mezo, 1 layers ..." in printed.err
    content = json.loads(figures.read_text())
    assert (content["optimizer"], content["batch"], content["fits"]) == ("mezo", 2, True)
    assert (content["length"], content["batch_shapes"]) == (16, [[2, 16]])
    assert chart.read_bytes().startswith(b"\x89PNG")

    # Before any work, and nothing is written over.
    assert main([*command, files[0]]) == 1
    assert f"there is a file {figures}" in capsys.readouterr().err
    assert json.loads(figures.read_text()) == content
    assert main(["plan", "--json=no/such/folder/plan.json"]) == 1
    assert "json must be a file in a folder that exists" in capsys.readouterr().err
    assert main([*command, files[0], "--overwrite", "--optimizer=inference"]) == 0
    assert json.loads(figures.read_text())["optimizer"] == "inference"


def test_plan_finds_the_largest_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from zojax import planning

    def largest(works: list[Any], optimizer: str, device: str, **given: object) -> planning.Largest:
        smallest = works[0]()
        assert (smallest.name, smallest.batch.shape, smallest.dtype) == (
            "opt-125m",
            (1, 400),
            "bfloat16",
        )
        assert given["devices"] == 2
        rank = given["subspace_rank"]
        name = optimizer if rank is None else f"{optimizer}, rank {rank}"
        return planning.Largest(device, 2, name, "opt-30b", None, None, None)

    monkeypatch.setattr(planning, "largest", largest)
    path = tmp_path / "largest.json"
    assert main(["plan", "--largest", "--device=h100-80gb", "--devices=2", f"--json={path}"]) == 0
    printed = capsys.readouterr().out
    assert "largest OPT on 2 × h100-80gb, bfloat16" in printed
    for optimizer in ("adam", "mezo", "zo_adamu", "zo_adamu, rank 16"):
        assert re.search(rf"{optimizer} +opt-30b", printed)
    assert [row["largest"] for row in json.loads(path.read_text())] == ["opt-30b"] * 4
    assert main(["plan", "--largest", "--chart=x.png"]) == 2
    assert "chart must not be given with largest" in capsys.readouterr().err

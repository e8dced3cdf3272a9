"""From a plan for eight devices to the run that it prints, on eight devices of a CPU."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from journey import TICKETS, Zojax
from tickets import write_tickets

pytestmark = [pytest.mark.slow, pytest.mark.plan, pytest.mark.usefixtures("with_plan")]


def test_the_printed_command_runs(zojax: Zojax, tiny_opt: Path, tmp_path: Path):
    settings = ["--optimizer", "mezo", "--dtype", "float32", "--batch-size", 8, "--max-length", 32]
    mesh = ["--mesh", "data=4,model=2", "--steps", 3]
    done = zojax("plan", "--model", tiny_opt / "config.json", *settings, *mesh)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.replace("\\\n", " ").split("To run it:")[1]
    program, *arguments = shlex.split(printed)
    assert (program, arguments[0]) == ("zojax", "finetune")

    rows = write_tickets(tmp_path / "tickets.csv", 60, seed=0)
    data = ["--train", rows, *TICKETS]
    done = zojax(*arguments, *data, "--output", "run", devices=8)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["mesh"] == "data=4,model=2"
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test"]

"""Nothing on standard error but what zojax says itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from journey import TICKETS, Zojax
from tickets import write_tickets

COMMANDS = ("finetune", "predict", "eval", "plan", "compare", "baseline", "export", "gallery")


@pytest.mark.quick
def test_the_overview_is_all_that_is_printed(zojax: Zojax):
    done = zojax("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "finetune" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [f"{name} --help" for name in COMMANDS])
def test_help_is_all_that_is_printed(arguments: str, zojax: Zojax):
    done = zojax(*arguments.split())
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_run_is_all_that_is_printed(zojax: Zojax, tmp_path: Path):
    write_tickets(tmp_path / "tickets.csv", 60, seed=0)
    data = ["--train", "tickets.csv", *TICKETS]
    done = zojax("finetune", *data, "--steps", 4, "--eval-every", 2, "--output", "run")
    assert (done.returncode, done.stderr) == (0, "")

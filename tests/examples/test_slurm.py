"""The script for Slurm, with stand-ins for Slurm's own programs on one host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm.sh"
# Starts the tasks as srun does: each knows its number, and one that fails ends the step.
SRUN = """
import os, subprocess, sys
command = sys.argv[1:]
while command[0].startswith("--"):
    command.pop(0)
tasks = [
    subprocess.Popen(command, env={**os.environ, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)})
    for i in range(int(os.environ["SLURM_NTASKS"]))
]
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_device_each: None) -> None:
    """A job of two tasks on this host, with srun, scontrol and zojax on the path."""
    # A task has the devices of its host, and not those that these tests ask XLA for.
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "srun.py").write_text(SRUN)
    for name, line in {
        "srun": f'exec "{sys.executable}" "{programs}/srun.py" "$@"',
        "scontrol": '[ "$*" = "show hostnames here[1-2]" ] && printf "127.0.0.1\\nother\\n"',
        "zojax": f'exec "{sys.executable}" -P -m zojax "$@"',
    }.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{line}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_NODELIST", "here[1-2]")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_JOB_ID", str(_job_with_a_free_port()))


def _job_with_a_free_port() -> int:
    for job in range(os.getpid(), os.getpid() + 1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 20000 + job % 20000)) != 0:
                return job
    raise RuntimeError("no port is free")


def test_the_shell_reads_it():
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.slow
def test_two_tasks_are_one_run(tiny_opt: Path, tmp_path: Path, slurm: None):
    rows = "\n".join(f"film {i},{i % 2}" for i in range(40))
    (tmp_path / "train it.csv").write_text(f"text,label\n{rows}\n")
    run = tmp_path / "run"
    settings = ["--steps=2", "--batch-size=4", "--start=words", "--optimizer=mezo"]
    files = ["--model", str(tiny_opt), "--train", str(tmp_path / "train it.csv")]
    done = subprocess.run(
        [SCRIPT, *files, *settings, "--output", str(run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 2/2") == 1  # process 0 alone prints
    assert (run / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_task_that_fails_fails_the_job(slurm: None):
    done = subprocess.run(
        [SCRIPT, "--model", "/nowhere", "--steps=1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "zojax: " in done.stderr

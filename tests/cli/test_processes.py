"""``zojax finetune`` in several processes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from zojax.cli import main

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture
def arguments(tiny_opt: Path, tmp_path: Path, a_device_each: None) -> list[str]:
    for name in ("train", "test"):
        rows = "\n".join(f"film {i},{i % 2}" for i in range(20))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    data = [f"--{name}={tmp_path / name}.csv" for name in ("train", "test")]
    sizes = ["--batch-size=4", "--num-buckets=1", "--eval-batch-size=16", "--optimizer=mezo"]
    return ["finetune", f"--model={tiny_opt}", "--learning-rate=1e-3", *sizes, *data]


@pytest.mark.slow
def test_processes_that_share_queries_write_the_model_of_one(
    arguments: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    arguments += ["--steps=4", "--eval-every=2"]
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main([*arguments, f"--output={alone}"]) == 0
    capfd.readouterr()
    both = [*arguments, f"--output={shared}", "--parallel=query"]
    assert main([*both, "--processes=2"]) == 0
    # One of them has said so.
    assert len(re.findall("step 4/4  loss", capfd.readouterr().out)) == 1
    assert {path.name for path in shared.iterdir()} == {path.name for path in alone.iterdir()}
    models = [load_file(run / "model" / "model.safetensors") for run in (alone, shared)]
    for name, leaf in models[0].items():
        np.testing.assert_array_equal(models[1][name], leaf)
    lines = [(run / "metrics.jsonl").read_text().splitlines() for run in (alone, shared)]
    losses = [[json.loads(line).get("loss") for line in each] for each in lines]
    assert losses[0] == losses[1]

    # There is a run now.
    assert main([*both, "--processes=2"]) == 1
    assert capfd.readouterr().err.count("zojax: finetune: there is a run in") == 1

    # As if it had been killed after its last record: from the checkpoint, the log, and one step.
    (shared / "results.json").unlink()
    shutil.rmtree(shared / "model")
    assert main(["finetune", f"--resume={shared}", "--processes=2"]) == 0
    resumed = load_file(shared / "model" / "model.safetensors")
    for name, leaf in models[0].items():
        np.testing.assert_array_equal(resumed[name], leaf)


@pytest.mark.slow
def test_processes_fold_a_subspace_as_one_does(arguments: list[str], tmp_path: Path):
    arguments += ["--steps=5", "--eval-every=5", "--subspace-rank=2", "--subspace-refresh=2"]
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert main([*arguments, f"--output={alone}"]) == 0
    assert main([*arguments, f"--output={shared}", "--parallel=query", "--processes=2"]) == 0
    models = [load_file(run / "model" / "model.safetensors") for run in (alone, shared)]
    for name, leaf in models[0].items():
        np.testing.assert_array_equal(models[1][name], leaf)


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_at_the_same_step(arguments: list[str], tmp_path: Path):
    run = tmp_path / "run"
    arguments += ["--steps=1000000", "--eval-every=20", f"--output={run}", "--processes=2"]
    command = [sys.executable, "-P", "-m", "zojax", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            while not parent.stdout.readline().startswith("step 20/"):
                assert parent.poll() is None
            parent.send_signal(signal.SIGINT)
            said = parent.stdout.read()
            assert parent.wait(60) == 130
        finally:
            parent.terminate()
    stopped = re.search(r"interrupted after step (\d+)", said)
    assert stopped is not None
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == int(stopped[1])
    assert (run / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--processes=2", "--coordinator=a:1"], 2, "processes must not be given with coordinator"),
        (["--processes=0"], 1, "launch: processes must be >= 1, got 0"),
        (["--process-id=1"], 1, "need a coordinator"),
    ],
)
def test_refusals(
    options: list[str],
    status: int,
    message: str,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
):
    assert main([*arguments, *options]) == status
    assert message in capsys.readouterr().err

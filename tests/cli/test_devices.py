"""What the commands say of devices that are not there: nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from zojax.cli import _devices
from zojax.cli._devices import may_have_accelerator

ROOT = Path(__file__).parents[2]
STUDY = """
title = "tiny"
models = ["MODEL"]
forward_passes = 4
seeds = [0]
evaluations = 1

[options]
batch_size = 4
num_buckets = 1

[tasks.mine]
train = "FOLDER/train.csv"
test = "FOLDER/test.csv"

[methods.mezo]
optimizer = "mezo"
"""
FINETUNE = (
    "finetune --model MODEL --train FOLDER/train.csv --test FOLDER/test.csv --steps 2 "
    "--batch-size 4 --num-buckets 1 --optimizer mezo"
)
PLAN = "plan --model MODEL --optimizer inference --batch 1 --length 8"
# Each with all that it may say on stderr: what goes on meanwhile.
COMMANDS = {
    "--help": [],
    FINETUNE: [],
    f"{FINETUNE} --processes 2": [],
    "compare study.toml": [],
    "gallery --functions rosenbrock --optimizers mezo --steps 4 --seeds 2": [
        "1/1 rosenbrock, mezo ...",
        "drawing ...",
    ],
    PLAN: ["compiling the forward pass, 1 layers ..."],
    f"{PLAN} --device tpu-v5e": ["compiling the forward pass, 1 layers ..."],
}


# Those that take the longest are like another one.
MARKS = {
    **dict.fromkeys(list(COMMANDS)[1:], pytest.mark.slow),
    **{command: pytest.mark.plan for command in COMMANDS if command.startswith("plan")},
    f"{FINETUNE} --processes 2": pytest.mark.slow,
    "compare study.toml": pytest.mark.slow,
}


@pytest.mark.skipif(may_have_accelerator(), reason="there may be an accelerator to speak of")
@pytest.mark.parametrize(
    "command", [pytest.param(command, marks=MARKS.get(command, ())) for command in COMMANDS]
)
def test_a_command_says_nothing_of_devices_that_are_not_there(
    command: str, tiny_opt: Path, tmp_path: Path
):
    if command.startswith("plan") and importlib.util.find_spec("libtpu") is None:
        pytest.skip('needs pip install "zojax[plan]"')
    for name in ("train", "test"):
        rows = "\n".join(f"film {i},{i % 2}" for i in range(20))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")

    def placed(text: str) -> str:
        return text.replace("MODEL", str(tiny_opt)).replace("FOLDER", str(tmp_path))

    (tmp_path / "study.toml").write_text(placed(STUDY))
    # As a user runs it, who has named no platform.
    named = ("JAX_PLATFORMS", "XLA_FLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    done = subprocess.run(
        [sys.executable, "-m", "zojax", *placed(command).split()],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == COMMANDS[command]


FILES = {
    "nothing": (None, False),
    "NVIDIA's driver": ("dev/nvidiactl", True),
    "WSL's": ("dev/dxg", True),
    "a TPU's": ("dev/vfio/0", True),
    "vfio without a device": ("dev/vfio/vfio", False),
    "a card without its driver": ("sys/bus/pci/devices/0000:01:00.0/vendor", True),
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such files")
@pytest.mark.parametrize("what", FILES)
def test_a_device_shows_by_the_files_of_its_driver_or_of_the_bus(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file, expected = FILES[what]
    other = tmp_path / "sys/bus/pci/devices/0000:00:01.0/vendor"  # Intel's: no plugin is for it
    for path, vendor in ((other, "0x8086"), *([(tmp_path / file, "0x10de")] if file else [])):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{vendor}\n")
    assert may_have_accelerator(tmp_path) == expected
    # Of a plugin that is neither CUDA's nor a TPU's nothing is known.
    metal = EntryPoint("metal", "jax_plugins.metal", "jax_plugins")
    monkeypatch.setattr(_devices, "entry_points", lambda group: [metal])
    assert may_have_accelerator(tmp_path)


def test_a_platform_that_the_user_has_named_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    program = (
        "import os, jax\n"
        "from zojax.cli._devices import use_cpu\n"
        "use_cpu()\n"
        "print(jax.config.jax_platforms, os.environ['JAX_PLATFORMS'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["cuda,cpu", "cuda,cpu"]

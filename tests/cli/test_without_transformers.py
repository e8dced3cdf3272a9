"""The main job where transformers is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("transformers", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)

import jax
from zojax.cli import main

jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
status = [main(arguments.split()) for arguments in sys.argv[2:]]
assert not any(status), status
"""
STUDY = """
title = "Two methods"
models = ["{model}"]
forward_passes = 4
seeds = [0]
evaluations = 1

[options]
train = "{folder}/rows.csv"
dev = "{folder}/rows.csv"
test = "{folder}/rows.csv"
batch_size = 4
num_buckets = 1

[tasks.films]
task = "rotten-tomatoes"

[methods.zero-shot]
baseline = "zero-shot"

[methods.MeZO]
optimizer = "mezo"
"""


@pytest.mark.usefixtures("a_device_each")
@pytest.mark.slow
def test_finetune_eval_and_compare(tiny_opt: Path, tmp_path: Path):
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "\n".join(f"film {i},{i % 2}" for i in range(8)) + "\n"
    )
    (tmp_path / "study.toml").write_text(STUDY.format(model=tiny_opt, folder=tmp_path))
    rows = " ".join(f"--{part}={tmp_path}/rows.csv" for part in ("train", "dev", "test"))
    commands = (
        f"finetune --model={tiny_opt} {rows} --optimizer=mezo --batch-size=4 --num-buckets=1 "
        f"--steps=2 --output={tmp_path}/run",
        f"eval {tmp_path}/run",
        f"compare {tmp_path}/study.toml --output={tmp_path}/study",
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "compiled"), *commands],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "run" / "results.json").read_text())["complete"]
    assert (tmp_path / "study" / "table.md").is_file()


def test_the_flax_classes_name_their_extra(tiny_opt: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    from zojax.cli import main

    monkeypatch.setitem(sys.modules, "transformers", None)
    arguments = ["baseline", "zero-shot", f"--model={tiny_opt}", "--implementation=transformers"]
    assert main(arguments) == 1
    assert "transformers' Flax classes need transformers: pip install" in capsys.readouterr().err

"""From prompts and a reward of five lines to a model that earns more of it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from pathlib import Path

import pytest
from journey import ROOT, Zojax

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "rewards.md"
EXAMPLE = ROOT / "examples" / "rewards"


def test_the_pages_example_improves_a_held_out_reward(zojax: Zojax, tmp_path: Path):
    [command] = re.findall(
        r"^zojax finetune (--reward five_words\.py:reward .*?[^\\])\n```",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )[:1]
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    assert len((tmp_path / "prompts.jsonl").read_text().splitlines()) == 50
    begin = time.monotonic()
    arguments = shlex.split(command.replace("\\\n", " "))
    done = zojax("finetune", *arguments, "--output", "run", timeout=1200)
    assert done.returncode == 0, done.stderr
    # Ten minutes on two cores; the test's own machine may be busy.
    assert time.monotonic() - begin < 600
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["test"]
    assert scores["best"]["reward"] > scores["zero_shot"]["reward"] + 0.1
    lines = (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    before, after = (
        {x["prompt"]: x["completion"] for x in samples if x["step"] == step} for step in (0, 120)
    )
    assert before.keys() == after.keys()
    assert before != after

    (tmp_path / "new.jsonl").write_text('{"prompt": "The acting was"}\n')
    done = zojax("predict", "run", "--texts", "new.jsonl", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answer"]
    done = zojax("eval", "run", "--data", "new.jsonl")
    assert done.returncode == 0, done.stderr
    assert "reward" in done.stdout

"""The tutorial on a CSV, from its own text: its code, then its commands, as they stand."""

from __future__ import annotations

import json
import re

import pytest
from documents import commands, read
from journey import Zojax

pytestmark = pytest.mark.slow
PAGE = "docs/tutorials/csv.md"
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_a_reader_of_the_tutorial_ends_with_the_classes_of_new_texts(zojax: Zojax):
    (code,) = CODE.findall(read(PAGE))
    (zojax.folder / "write.py").write_text(code)
    assert zojax.run("write.py").returncode == 0
    for command in commands(PAGE):
        done = zojax(*command.arguments)
        assert done.returncode == 0, done.stderr
        if command.output:
            (zojax.folder / command.output).write_text(done.stdout)
    found = (zojax.folder / "queues.tsv").read_text().splitlines()
    new = (zojax.folder / "new.csv").read_text().splitlines()
    assert len(found) == len(new)  # each with a header
    right = [a.split("\t")[0] == b.split(",")[-1] for a, b in zip(found[1:], new[1:], strict=True)]
    assert sum(right) >= 0.9 * len(right)
    results = json.loads((zojax.folder / "runs/tickets/results.json").read_text())
    assert results["test"]["best"]["accuracy"] >= 0.9
    assert (zojax.folder / "tickets-model" / "model.safetensors").is_file()

"""The settings of the docs for small networks."""

from __future__ import annotations

import re

import pytest
from journey import ROOT, Zojax

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MAIN = """
for make in (zojax.mezo, zojax.zo_adamu):
    print(tune(make(key=0, **settings), seed=0, steps=STEPS))
"""


def test_digits_are_learnt_by_mezo_and_zo_adamu(zojax: Zojax):
    page = (ROOT / "docs" / "small_networks.md").read_text(encoding="utf-8")
    network, settings, *_ = BLOCK.findall(page)
    script = zojax.folder / "digits.py"
    script.write_text(network + settings + MAIN)
    done = zojax.run(script)
    assert done.returncode == 0, done.stderr
    accuracies = [float(line) for line in done.stdout.splitlines()]
    assert len(accuracies) == 2
    assert min(accuracies) >= 0.95

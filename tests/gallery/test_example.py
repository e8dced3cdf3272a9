"""The example: a function and an optimizer from outside the library."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from zojax import gallery

EXAMPLE = Path(__file__).parents[2] / "examples" / "gallery.py"


@pytest.mark.usefixtures("standard_promotion")
def test_the_examples_function_and_optimizer_run():
    names = runpy.run_path(str(EXAMPLE))
    himmelblau, clipped = names["HIMMELBLAU"], names["CLIPPED"]
    found = gallery.run([himmelblau], [clipped, "sgd"], steps=40, seeds=3)
    run, sgd = found.runs
    # Of 80 forward passes: 4 a step, and 3.
    assert (run.values.shape, sgd.values.shape) == ((3, 21), (3, 27))
    assert run.values[0, 0] == himmelblau.value(np.array(himmelblau.start)) == 170
    assert run.quantile(0.5)[-1] < 85

"""The table of methods holds all of them, and its figures are those of the code as it is."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sets import slow_except

import zojax
import zojax.estimators
from zojax.lm import models

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROWS = json.loads((BENCHMARKS / "results" / "methods.json").read_text(encoding="utf-8"))["rows"]

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("methods")


@pytest.fixture(scope="module")
def params() -> Any:
    return models.workload("opt-125m", batch=4, length=64, scan_layers=False).params


@pytest.mark.quick
def test_the_table_is_that_of_the_benchmark(benchmark):
    described = [(row["method"], row["source"], row["when to use it"]) for row in ROWS]
    assert described == [(k, m.source, m.when) for k, m in benchmark.METHODS.items()]


@pytest.mark.quick
@pytest.mark.parametrize("package", [zojax.optimizers, zojax.estimators])
def test_every_optimizer_and_estimator_has_a_line(package):
    functions = {value.__name__ for value in vars(package).values() if inspect.isfunction(value)}
    public = functions & set(dir(zojax)) - {
        "zo_sgd",
        "last_loss",
        "last_aux",
    }  # mezo's other name; readers
    assert len(public) > 5
    methods = "\n".join(row["method"] for row in ROWS)
    # forward_gradient is in the table as forward_gradient_sgd.
    assert not {name for name in public if not re.search(rf"\b{name}(_sgd)?\b", methods)}


@pytest.mark.parametrize(
    "row",
    slow_except({row["method"]: row for row in ROWS}, "mezo"),
)
def test_forward_passes_and_state_are_as_recorded(row, benchmark, params):
    make = benchmark.METHODS[row["method"]].make
    assert benchmark.state_size(make(), params) == row["state, in parameters"]
    assert benchmark.forward_passes(make(), params) == row["forward passes"]

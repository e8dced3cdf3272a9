"""What the markers of tests mean: hooks of pytest, which conftest.py takes over, and a helper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

# Who computes OPT and RoBERTa.
IMPLEMENTATIONS = ["zojax", pytest.param("transformers", marks=pytest.mark.flax_classes)]


def slow_except(cases: Iterable[str], *kept: str, marks: Any = ()) -> list[Any]:
    """Cases for ``parametrize``, of which those kept alone are in the default set.

    A mapping gives its values, of which a tuple is several arguments, and its keys are their names.
    ``marks`` are those of the cases kept, such as ``quick``, which no slow test may have.
    """
    values = cases if isinstance(cases, Mapping) else {case: case for case in cases}
    unknown = {*kept} - {*values}
    if unknown:
        raise ValueError(f"slow_except: kept must be names of cases, got {sorted(unknown)}.")
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            id=name,
            marks=marks if name in kept else pytest.mark.slow,
        )
        for name, value in values.items()
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests of both sets: ``-m quick`` would run slow ones."""
    for item in items:
        if item.get_closest_marker("quick") and item.get_closest_marker("slow"):
            raise pytest.UsageError(f"{item.nodeid} must not be both quick and slow.")


@pytest.hookimpl(tryfirst=True)  # before the fixtures, which compile
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a package that is not installed."""
    if item.get_closest_marker("plan"):
        for compiler in ("jax_plugins.xla_cuda12", "libtpu"):
            pytest.importorskip(compiler, reason='needs pip install "zojax[plan]"')
    if item.get_closest_marker("flax_classes"):
        pytest.importorskip(
            "transformers.modeling_flax_utils",
            reason="needs transformers' Flax classes, which transformers 4.57 has last",
        )
    if item.get_closest_marker("pyarrow"):
        pytest.importorskip("pyarrow", reason="needs pyarrow, an optional reader")

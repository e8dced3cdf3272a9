"""What the markers of tests mean: hooks of pytest, which conftest.py takes over."""

from __future__ import annotations

import pytest


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
    if item.get_closest_marker("pyarrow"):
        pytest.importorskip("pyarrow", reason="needs pyarrow, an optional reader")

"""One compilation of each program for all runs of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from compiled_once import compiled_once


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


# For each module, and not for the session: what other folders compile for is no CPU.
@pytest.fixture(scope="module", autouse=True)
def compile_once(compiled: Path) -> Iterator[None]:
    with compiled_once(compiled):
        yield

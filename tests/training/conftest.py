"""One compilation of each program for all runs of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from compiled_once import compiled_once


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield

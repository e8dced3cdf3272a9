"""Small models to plan with."""

from __future__ import annotations

from pathlib import Path

import pytest
from opt_config import sizes, write_config


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config.json of an OPT of 3 layers and 0.2 million parameters."""
    return write_config(tmp_path_factory.mktemp("config"))


@pytest.fixture
def configs(tmp_path: Path) -> list[str]:
    """Four OPTs, from small to one of 13 billion parameters in its only layer."""
    hidden = (16, 32, 64, 32768)
    return [
        str(write_config(tmp_path, f"{size}.json", num_hidden_layers=1, **sizes(size)))
        for size in hidden
    ]

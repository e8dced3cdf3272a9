"""The program as a user has it.

With ``ZOJAX_JOURNEYS_FRESH=1`` it is installed by the README's first command into an environment
that holds nothing else; otherwise it is that of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from journey import ROOT, Zojax


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.environ.get("ZOJAX_JOURNEYS_FRESH"):
        return Path(sys.executable)
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install(python, "demo")
    return python


@pytest.fixture(scope="session")
def with_plan(python: Path) -> None:
    """Adds the compilers for devices that are not there."""
    if python != Path(sys.executable):
        install(python, "plan")


def install(python: Path, extra: str) -> None:
    command = [python, "-m", "pip", "install", "--quiet", f"{ROOT}[{extra}]"]
    subprocess.run(command, check=True)


@pytest.fixture
def zojax(python: Path, tmp_path: Path) -> Zojax:
    return Zojax(python, tmp_path)

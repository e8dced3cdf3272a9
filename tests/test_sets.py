"""The sets of tests: the default one, the quick one within it, and the slow one beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

TESTS = Path(__file__).parent
FOLDERS = sorted({path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")})
THREE = """
import pytest

def test_neither(): pass

@pytest.mark.quick
def test_quick(): pass

@pytest.mark.slow
def test_slow(): pass
"""
BOTH = """
import pytest

@pytest.mark.quick
@pytest.mark.slow
def test_both(): pass
"""


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_folder_has_a_quick_test(folder: Path):
    files = [path.read_text(encoding="utf-8") for path in (TESTS / folder).glob("test_*.py")]
    assert any("pytest.mark.quick" in text for text in files)


def collect(code: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Collect tests with the project's settings, beside which they lie in a folder of their own."""
    (folder / "test_sets.py").write_text(code)
    (folder / "conftest.py").write_text((TESTS / "sets.py").read_text(encoding="utf-8"))
    settings = ["-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(folder)]
    command = [sys.executable, "-m", "pytest", "-n0", "--collect-only", "-q", *settings, *options]
    return subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, check=False, cwd=folder
    )


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ((), {"test_neither", "test_quick"}),
        (("-m", "quick"), {"test_quick"}),
        (("-m", "slow"), {"test_slow"}),
    ],
    ids=["default", "quick", "slow"],
)
def test_a_set_is_what_its_marker_says(tmp_path: Path, options: tuple[str, ...], names: set[str]):
    lines = collect(THREE, tmp_path, *options).stdout.splitlines()
    assert {line.rpartition("::")[2] for line in lines if "::" in line} == names


def test_what_is_both_quick_and_slow_is_refused(tmp_path: Path):
    done = collect(BOTH, tmp_path)
    assert done.returncode != 0
    assert "must not be both quick and slow" in done.stdout + done.stderr

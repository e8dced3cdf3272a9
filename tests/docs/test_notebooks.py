"""The notebooks run from the first cell to the last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / name, as_version=4)


def run(name: str, folder: Path) -> list[Any]:
    """Run a notebook in ``folder``, and return the outputs of all its cells.

    Raises:
      nbclient.exceptions.CellExecutionError: A cell has raised.
    """
    notebook = read(name)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=540, resources=resources).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def shown(outputs: list[Any]) -> tuple[str, int]:
    """What was printed, and how many pictures were drawn."""
    text = "".join(output.get("text", "") for output in outputs)
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.quick
def test_there_are_notebooks():
    assert NOTEBOOKS == ["quickstart.ipynb", "write_your_own.ipynb"]


@pytest.mark.quick
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_valid_and_its_outputs_are_stripped(name):
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    # On Colab zojax has yet to be installed; here it must not be.
    assert 'find_spec("zojax") is None' in code[0].source
    assert '%pip install --quiet "zojax[demo]"' in code[0].source


@pytest.mark.slow
def test_the_quickstart_tunes_and_plots(tmp_path):
    text, pictures = shown(run("quickstart.ipynb", tmp_path))
    assert "test accuracy:" in text
    assert pictures == 1
    assert (tmp_path / "runs" / "quickstart" / "model").is_dir()


@pytest.mark.slow
def test_ones_own_method_keeps_the_promises(tmp_path):
    text, pictures = shown(run("write_your_own.ipynb", tmp_path))
    assert "check_direction: it must have mean 0 and the identity as second moment." in text
    assert pictures == 1

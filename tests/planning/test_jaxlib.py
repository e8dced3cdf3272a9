"""Names of jax and jaxlib that are private: which are gone, and in which version."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from import_graph import read_sources

from zojax.planning import _jaxlib

PACKAGE = Path(__file__).parents[2] / "zojax"
PRIVATE = ("jaxlib", "jax._src", "jax_plugins")


def complaint(name: _jaxlib.PrivateName) -> str | None:
    """What is to be mended, if anything is."""
    try:
        name.find()
    except ImportError as error:
        return str(error)
    return None


@pytest.mark.quick
def test_the_analysis_of_programs_is_there():
    # Fails with the version of jax that broke it.
    for name in (_jaxlib.READ_HLO, _jaxlib.ANALYSE_HLO):
        assert complaint(name) is None
    program = jax.jit(lambda a, b: a @ b).lower(jnp.ones((8, 8)), jnp.ones((8, 8))).compile()
    found = _jaxlib.analysed(program.as_text() or "")
    assert (found["flops"], found["bytes accessed"]) == (2 * 8**3, 3 * 4 * 8**2)


@pytest.mark.plan
def test_the_cuda_plugin_can_be_started_and_reads_its_variable():
    assert complaint(_jaxlib.START_CUDA_PLUGIN) is None
    plugin = importlib.import_module(_jaxlib.START_CUDA_PLUGIN.modules[0])
    folder = Path(plugin.__file__ or "").parent
    assert any(_jaxlib.SKIP_CUDA_CHECK in path.read_text() for path in folder.glob("*.py")), (
        f"jax {jax.__version__}: its CUDA plugin no longer reads {_jaxlib.SKIP_CUDA_CHECK}"
    )


@pytest.mark.quick
def test_a_name_that_is_gone_is_told_with_the_version(monkeypatch):
    gone = _jaxlib.ANALYSE_HLO._replace(name="hlo_module_cost_analysis_of_old")
    monkeypatch.setattr(_jaxlib, "ANALYSE_HLO", gone)
    message = (
        f"planning: jax {jax.__version__} with jaxlib .* has no jaxlib._jax.{gone.name}, by which "
        "zojax counts a program's operations and bytes"
    )
    with pytest.raises(ImportError, match=message):
        _jaxlib.analysed("HloModule m\n\nENTRY e {\n  ROOT x = f32[] parameter(0)\n}")


def imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute | ast.Call):
            # An attribute of a module, and a module by its name in a text.
            found.add(re.sub(r"^importlib\.import_module\('(.*)'\)$", r"\1", ast.unparse(node)))
    return found


@pytest.mark.quick
def test_no_other_module_takes_private_names_of_jax():
    takers = {
        module
        for module, source in read_sources(PACKAGE).items()
        if any(f"{name}.".startswith(f"{p}.") for name in imported(source.tree) for p in PRIVATE)
    }
    assert not takers
    sample = "import importlib\nfrom jax import _src\nimportlib.import_module('jaxlib._jax')"
    assert {"jax._src", "jaxlib._jax"} <= imported(ast.parse(sample))

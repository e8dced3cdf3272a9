"""The house's plan: what lies upon what, and by which names."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from import_graph import Import, Source, imports_of, names_of, read_sources

pytestmark = pytest.mark.quick

PACKAGE = Path(__file__).parents[1] / "zojax"

# From the ground up. A folder may import what is below it, and nothing beside it on its own floor.
ROOT_PRIVATE, ROOT = "zojax._*", "zojax"
LAYERS = (
    (ROOT_PRIVATE,),
    ("zojax.directions",),
    ("zojax.streaming",),
    ("zojax.coordinates",),
    ("zojax.quantized", "zojax.slope_rules"),
    ("zojax.estimators",),
    ("zojax.rules",),
    ("zojax.optimizers", "zojax.rates", "zojax.asking"),
    (ROOT,),
    ("zojax.passes",),
    ("zojax.parallel", "zojax.sharding", "zojax.trajectory"),
    ("zojax.gallery", "zojax.planning", "zojax.testing", "zojax.workers"),
    ("zojax.flax",),
    ("zojax.lm.settings",),
    ("zojax.lm.models", "zojax.lm.processes"),
    ("zojax.lm.adapters",),
    ("zojax.lm.decoding",),
    ("zojax.lm.engines",),
    ("zojax.lm.tasks",),
    ("zojax.lm.sequences",),
    ("zojax.lm.rewards",),
    ("zojax.lm.training",),
    ("zojax.lm.baselines", "zojax.lm.prediction"),
    ("zojax.lm.comparison",),
    ("zojax.lm",),  # it gives some of their names on
    ("zojax.cli",),
    ("zojax.__main__",),
)
FLOOR = {folder: floor for floor, folders in enumerate(LAYERS) for folder in folders}
# The library shares its private modules; the application and the command use public names alone.
LIBRARY = FLOOR["zojax.planning"]
# How a package puts off its submodules is no part of the library.
LAZY = "zojax._lazy"
# The library's dependencies (ml_dtypes is jax's own), and what draws its pictures.
ALLOWED = {"jax", "jaxlib", "ml_dtypes", "numpy", "optax", "matplotlib", "PIL"}


def folder_of(module: str) -> str:
    """The folder that a module belongs to, as LAYERS names it."""
    parts = module.split(".")
    if len(parts) > 1 and parts[1].startswith("_") and parts[1] != "__main__":
        return ROOT_PRIVATE
    return ".".join(parts[: 3 if parts[1:2] == ["lm"] else 2])


def wrong_imports(sources: dict[str, Source]) -> list[str]:
    """Imports that point upwards, or reach into another folder."""
    found = ((one, upwards(one) or reaches_in(one, sources)) for one in imports_of(sources))
    return [f"{one.importer}, line {one.line}: {what}" for one, what in found if what]


def upwards(one: Import) -> str | None:
    here, there = folder_of(one.importer), folder_of(one.module)
    if here == there or FLOOR[here] > FLOOR[there]:
        return None
    return f"{here} lies below {there}, or beside it, and must not import {one.module}."


def reaches_in(one: Import, sources: dict[str, Source]) -> str | None:
    here, there = folder_of(one.importer), folder_of(one.module)
    if here == there:
        return None
    taken = one.module if one.name is None else f"{one.module}.{one.name}"
    if there == ROOT_PRIVATE:
        if FLOOR[here] <= LIBRARY and not is_private(one.name or ""):
            return None
        if one.module == LAZY and sources[one.importer].is_package:
            return None
        return f"{taken} is private to the library."
    if any(map(is_private, taken.split("."))):
        return f"{taken} is private to {there}."
    given = names_of(sources[one.module])
    if one.name is not None and one.name not in given and not one.name.startswith("__"):
        return f"{there} exports no {one.name}."
    return None


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def circles(sources: dict[str, Source]) -> list[str]:
    """Modules that lean on each other in a circle, if any do."""
    below: dict[str, set[str]] = {name: set() for name in sources}
    for one in imports_of(sources):
        below[one.importer].add(one.module)
    try:
        graphlib.TopologicalSorter(below).prepare()
    except graphlib.CycleError as error:
        return [*reversed(error.args[1])]
    return []


def outsiders(source: Source) -> set[str]:
    """The packages of others that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found - {*sys.stdlib_module_names, "zojax"}


SOURCES = read_sources(PACKAGE)


def test_every_folder_has_its_floor():
    assert {folder_of(module) for module in SOURCES} <= {*FLOOR}


def test_imports_point_downwards_and_take_public_names():
    wrong = "\n".join(wrong_imports(SOURCES))
    assert not wrong, wrong


def test_no_modules_lean_on_each_other_in_a_circle():
    circle = " -> ".join(circles(SOURCES))
    assert not circle, circle


def test_the_library_needs_no_model_library():
    library = [name for name in SOURCES if FLOOR[folder_of(name)] <= LIBRARY]
    foreign = {name: outsiders(SOURCES[name]) - ALLOWED for name in library}
    assert {name for name, found in foreign.items() if found} == set()


# Each is a tree of files that has one thing wrong, and what is said of it.
WRONG = {
    "the core imports the application": (
        {"directions/_a.py": "def f():\n    from zojax.lm.tasks import Task\n"},
        "zojax.directions._a, line 2: zojax.directions lies below zojax.lm.tasks",
    ),
    "under TYPE_CHECKING": (
        {"rules/_a.py": "if TYPE_CHECKING:\n    import zojax.optimizers\n"},
        "zojax.rules._a, line 2: zojax.rules lies below zojax.optimizers",
    ),
    "the core imports the root": (
        {"rules/_a.py": "import zojax\n"},
        "zojax.rules._a, line 1: zojax.rules lies below zojax,",
    ),
    "folders of one floor": (
        {"sharding/_a.py": "from zojax.trajectory import replay\n"},
        "zojax.sharding lies below zojax.trajectory, or beside it",
    ),
    "an attribute of the root": (
        {"trajectory/_a.py": "import zojax\n\nx = zojax.lm.tasks.Task\n"},
        "zojax.trajectory._a, line 3: zojax.trajectory lies below zojax.lm.tasks",
    ),
    "a private module": (
        {"cli/_a.py": "from zojax.lm.tasks._task import Task\n"},
        "zojax.cli._a, line 1: zojax.lm.tasks._task.Task is private to zojax.lm.tasks.",
    ),
    "a private module that has a name of its own": (
        {"cli/_a.py": "from zojax.lm import tasks\n\nx = tasks._task.Task\n"},
        "zojax.cli._a, line 3: zojax.lm.tasks._task.Task is private to zojax.lm.tasks.",
    ),
    "a private module by its text": (
        {"cli/_a.py": "import importlib\n\nimportlib.import_module('zojax.lm.tasks._task')\n"},
        "zojax.cli._a, line 3: zojax.lm.tasks._task is private to zojax.lm.tasks.",
    ),
    "a name that is not exported": (
        {"cli/_a.py": "from zojax.lm.tasks import Other\n"},
        "zojax.cli._a, line 1: zojax.lm.tasks exports no Other.",
    ),
    "a name that is there by chance": (
        {"cli/_a.py": "from zojax.lm import submodules\n"},
        "zojax.cli._a, line 1: zojax.lm exports no submodules.",
    ),
    "a module of the library's own": (
        {"lm/tasks/_a.py": "from zojax import _check\n"},
        "zojax.lm.tasks._a, line 1: zojax._check is private to the library.",
    ),
    "a private name of such a module": (
        {"rules/_a.py": "from zojax._check import _number\n"},
        "zojax.rules._a, line 1: zojax._check._number is private to the library.",
    ),
}
FOLDERS = ("cli", "directions", "lm", "lm/tasks", "optimizers", "rules", "sharding", "trajectory")
RIGHT = {
    "__init__.py": "from zojax.rules import adam as adam\n",
    "_check.py": "def count(): ...\n\n\ndef _number(): ...\n",
    **{f"{folder}/__init__.py": "" for folder in FOLDERS},
    "rules/__init__.py": "from zojax.rules._adam import adam as adam\n",
    "rules/_adam.py": "from zojax._check import count\n\n\ndef adam(): ...\n",
    "trajectory/__init__.py": "def replay(): ...\n",
    "trajectory/_more.py": "import zojax\n\nx = zojax.adam\n",
    "lm/__init__.py": "from zojax._lazy import submodules\n",
    "_lazy.py": "def submodules(): ...\n",
    "lm/tasks/__init__.py": "from zojax.lm.tasks._task import Task as Task\n",
    "lm/tasks/_task.py": "import zojax\n\n\nclass Task: ...\n",
    "cli/_main.py": "from zojax.lm.tasks import Task\nfrom zojax import adam\n",
}


def tree_of(folder: Path, files: dict[str, str]) -> dict[str, Source]:
    for name, text in files.items():
        path = folder / "zojax" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_sources(folder / "zojax")


def test_a_tree_that_is_right_is_taken(tmp_path: Path):
    sources = tree_of(tmp_path, RIGHT)
    assert (wrong_imports(sources), circles(sources)) == ([], [])


@pytest.mark.parametrize(("files", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(tmp_path: Path, files: dict[str, str], message: str):
    found = wrong_imports(tree_of(tmp_path, {**RIGHT, **files}))
    assert any(message in line for line in found), found


def test_a_circle_is_found(tmp_path: Path):
    files = {
        "rules/_a.py": "if TYPE_CHECKING:\n    from zojax.rules._adam import adam\n",
        "rules/_adam.py": "def adam():\n    import zojax.rules._a\n",
    }
    found = circles(tree_of(tmp_path, {**RIGHT, **files}))
    assert {*found} == {"zojax.rules._a", "zojax.rules._adam"}


def test_an_import_starts_no_device():
    """Where it did, jax.distributed could no longer be initialised, nor a platform be chosen."""
    packages = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    code = f"""
        import zojax, zojax.lm.training, {", ".join(f"zojax.{name}" for name in packages)}
        from jax._src import xla_bridge
        assert not xla_bridge.backends_are_initialized()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)

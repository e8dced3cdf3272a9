"""The house's plan: what lies upon what, and by which names."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable
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
    ("zojax.selection",),
    ("zojax.coordinates",),
    ("zojax.slope_rules",),
    ("zojax.estimators",),
    ("zojax.rules",),
    ("zojax.optimizers",),
    (ROOT,),
    ("zojax.passes",),
    ("zojax.parallel", "zojax.sharding", "zojax.testing", "zojax.trajectory"),
    ("zojax.gallery", "zojax.planning"),
    ("zojax.lm",),
    ("zojax.lm.models", "zojax.lm.processes"),
    ("zojax.lm.adapters",),
    ("zojax.lm.decoding",),
    ("zojax.lm.tasks",),
    ("zojax.lm.training",),
    ("zojax.lm.baselines",),
    ("zojax.lm.comparison",),
    ("zojax.cli",),
    ("zojax.__main__",),
)
FLOOR = {folder: floor for floor, folders in enumerate(LAYERS) for folder in folders}
# The library shares its private modules; the application and the command use public names alone.
LIBRARY = FLOOR["zojax.planning"]
# How a package puts off its submodules is no part of the library.
LAZY = "zojax._lazy"

# Imports of the core's folders that are still to be moved: "importer -> module".
TO_BE_MOVED: frozenset[str] = frozenset()


def folder_of(module: str) -> str:
    """The folder that a module belongs to, as LAYERS names it."""
    parts = module.split(".")
    if len(parts) > 1 and parts[1].startswith("_") and parts[1] != "__main__":
        return ROOT_PRIVATE
    return ".".join(parts[: 3 if parts[1:2] == ["lm"] else 2])


def wrong_imports(sources: dict[str, Source]) -> list[str]:
    """Imports that point upwards, or reach into another folder."""
    found = [found for found in imports_of(sources) if arrow(found) not in TO_BE_MOVED]
    return [
        f"{one.importer}, line {one.line}: {what}"
        for one in found
        for what in [upwards(one) or reaches_in(one, sources)]
        if what
    ]


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
        if FLOOR[here] <= LIBRARY and not (one.name or "").startswith("_"):
            return None
        if one.module == LAZY and sources[one.importer].is_package:
            return None
        return f"{taken} is private to the library."
    if any(part.startswith("_") for part in taken.split(".")):
        return f"{taken} is private to {there}."
    if one.name is not None and one.name not in names_of(sources[one.module]):
        return f"{there} exports no {one.name}."
    return None


def circles(sources: dict[str, Source]) -> list[str]:
    """Modules that lean on each other in a circle, if any do."""
    below: dict[str, set[str]] = {name: set() for name in sources}
    for one in imports_of(sources):
        if arrow(one) not in TO_BE_MOVED:
            below[one.importer].add(one.module)
    try:
        graphlib.TopologicalSorter(below).prepare()
    except graphlib.CycleError as error:
        return [*reversed(error.args[1])]
    return []


def arrow(one: Import) -> str:
    return f"{one.importer} -> {one.module}"


def lines(found: Iterable[str]) -> str:
    return "\n".join(found)


SOURCES = read_sources(PACKAGE)


def test_every_folder_has_its_floor():
    assert {folder_of(module) for module in SOURCES} <= {*FLOOR}


def test_imports_point_downwards_and_take_public_names():
    assert not lines(wrong_imports(SOURCES))


def test_no_modules_lean_on_each_other_in_a_circle():
    assert not " -> ".join(circles(SOURCES))


def test_what_is_to_be_moved_is_still_there():
    assert {*map(arrow, imports_of(SOURCES))} >= TO_BE_MOVED

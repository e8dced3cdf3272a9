"""Who imports what: every import within a package, read from its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """A module takes another one, or a name of it."""

    importer: str  # a module
    module: str  # a module of the same package
    name: str | None  # what is taken of it; None: the module itself
    line: int  # of the importer's source


class Source(NamedTuple):
    """A module's source."""

    tree: ast.Module
    is_package: bool  # whether it is an __init__.py


def read_sources(folder: Path) -> dict[str, Source]:
    """Every module of the package in ``folder``, by its full name."""
    sources: dict[str, Source] = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [*path.relative_to(folder.parent).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        sources[name] = Source(ast.parse(path.read_text(encoding="utf-8")), is_package)
    return sources


def imports_of(sources: dict[str, Source]) -> list[Import]:
    """Every import between the modules of a package.

    Imports inside functions and under ``TYPE_CHECKING`` count. So does ``package.folder.name``, an
    attribute of a module that was imported: a folder may be imported when it is first used.
    """
    return [
        found
        for importer in sources
        for found in dict.fromkeys(
            [*_statements(importer, sources), *_attributes(importer, sources)]
        )
    ]


def names_of(source: Source) -> set[str]:
    """What a module gives: what it binds at its top level, in branches there too.

    Of what it imports itself, it gives on what it names again: ``from … import name as name``.
    """
    bound: set[str] = set()
    waiting: list[ast.AST] = [*source.tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.name for alias in node.names if alias.asname == alias.name}
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                bound.add(node.id)
        else:
            waiting += ast.iter_child_nodes(node)
    return bound


def _statements(importer: str, sources: dict[str, Source]) -> Iterator[Import]:
    for node in ast.walk(sources[importer].tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _import(importer, alias.name, node.lineno, sources)
        elif isinstance(node, ast.ImportFrom):
            module = _origin(importer, node, sources)
            for alias in node.names:
                yield from _import(importer, f"{module}.{alias.name}", node.lineno, sources)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            # Of a name that is put together at run time the source does not tell.
            for argument in node.args:
                if isinstance(argument, ast.Constant):
                    yield from _import(importer, str(argument.value), node.lineno, sources)


def _attributes(importer: str, sources: dict[str, Source]) -> Iterator[Import]:
    """``zojax.planning.plan`` where ``zojax`` is a module that was imported."""
    modules = _local_modules(importer, sources)
    for node in ast.walk(sources[importer].tree):
        if isinstance(node, ast.Attribute):
            start, _, rest = ast.unparse(node).partition(".")
            if start in modules and rest.replace(".", "").isidentifier():
                yield from _import(importer, f"{modules[start]}.{rest}", node.lineno, sources)


def _local_modules(importer: str, sources: dict[str, Source]) -> dict[str, str]:
    """The names by which a source calls modules of the package."""
    found: dict[str, str] = {}
    for node in ast.walk(sources[importer].tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.split(".")[0]
                found[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            module = _origin(importer, node, sources)
            for alias in node.names:
                found[alias.asname or alias.name] = f"{module}.{alias.name}"
    return {name: module for name, module in found.items() if module in sources}


def _origin(importer: str, node: ast.ImportFrom, sources: dict[str, Source]) -> str:
    """The module after ``from``; dots at its beginning are folders above the importer."""
    if not node.level:
        return node.module or ""
    parts = importer.split(".")
    above = node.level - sources[importer].is_package
    return ".".join([*parts[: len(parts) - above], *(node.module or "").split(".")]).rstrip(".")


def _import(importer: str, full: str, line: int, sources: dict[str, Source]) -> Iterator[Import]:
    """Split ``package.module.name`` where the modules end."""
    parts = full.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        if module in sources:
            name = parts[end] if end < len(parts) else None
            if (module, name) != (importer, None):
                yield Import(importer, module, name, line)
            return

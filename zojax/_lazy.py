"""Submodules that are imported when they are first used."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def submodules(
    package: str, names: Sequence[str], given_on: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package of which some submodules are imported late.

    Args:
      package: Its name, ``__name__``.
      names: The submodules.
      given_on: Names that the package gives on, each with the submodule that has it.
    """
    given_on = given_on or {}

    def get(name: str) -> Any:
        if name in given_on:
            return getattr(importlib.import_module(f"{package}.{given_on[name]}"), name)
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    def list_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names, *given_on})

    return get, list_

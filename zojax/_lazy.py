"""Submodules that are imported when they are first used."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any


def submodules(
    package: str, names: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package of which some submodules are imported late.

    Args:
      package: Its name, ``__name__``.
      names: The submodules.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    def list_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return get, list_

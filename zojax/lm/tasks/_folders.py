"""Where the data of an installed or unpacked package lie."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def package_folder(package: str, how: str) -> Path:
    """Return a package's folder, without importing the package.

    ``ZOJAX_`` and the package's name in capitals, an environment variable, may say where an
    unpacked source archive is; else the installed package is taken.

    Args:
      package: Its name.
      how: How to get it, for the error.

    Raises:
      FileNotFoundError: The variable names a folder that has no such package.
      ImportError: There is no variable, and the package is not installed.
    """
    variable = f"ZOJAX_{package.upper()}"
    given = os.environ.get(variable)
    if given is not None:
        folder = Path(given).expanduser()
        # The archive's folder, or the package's in it.
        for candidate in (folder / package, folder):
            if candidate.name == package and candidate.is_dir():
                return candidate
        raise FileNotFoundError(
            f"load_splits: {variable} must be a folder that has the package {package}, got {given}."
        )
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"load_splits: the rows need the package {package}: {how}.")
    return Path(spec.submodule_search_locations[0])

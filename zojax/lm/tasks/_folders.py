"""Finds the folder of a package that is installed or unpacked."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def package_folder(package: str, how: str) -> Path:
    """Return a package's folder, without importing the package.

    If the environment variable ``ZOJAX_`` + the package's name in capitals is set, it names the
    folder of the unpacked source archive. Otherwise the installed package is used.

    Args:
      package: The package's name.
      how: How to install the package, for the error message.

    Raises:
      FileNotFoundError: The folder that the variable names does not contain the package.
      ImportError: The variable is not set, and the package is not installed.
    """
    variable = f"ZOJAX_{package.upper()}"
    given = os.environ.get(variable)
    if given is not None:
        folder = Path(given).expanduser()
        # The variable may name the archive's folder, or the package's folder inside it.
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

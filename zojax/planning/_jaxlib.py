"""The private names of jax and jaxlib that planning uses.

They are used only here, so that there is one place to change when a release moves a name.
``tests/planning/test_jaxlib.py`` says which name is missing, and in which version of jax.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any, NamedTuple

import jax

TESTED = "0.10.2"
"""The newest jax in which the names below were found."""

# An environment variable that lets JAX accept the CUDA plugin without CUDA's run-time libraries.
SKIP_CUDA_CHECK = "JAX_SKIP_CUDA_CONSTRAINTS_CHECK"


class PrivateName(NamedTuple):
    """A name that the next release of jax may move."""

    modules: tuple[str, ...]  # modules to look it up in; the first that has it is used
    name: str  # the attribute of the module
    purpose: str  # what zojax does with it, for the error message

    def find(self) -> Any:
        """Return the object of this name.

        Raises:
          ImportError: No module has the name, although its package is installed.
        """
        for module in self.modules:
            try:
                return getattr(importlib.import_module(module), self.name)
            except (ImportError, AttributeError):
                continue
        places = " or ".join(f"{module}.{self.name}" for module in self.modules)
        versions = f"jax {metadata.version('jax')} with jaxlib {metadata.version('jaxlib')}"
        raise ImportError(
            f"planning: {versions} has no {places}, by which zojax {self.purpose}. Install the "
            f"newest jax that zojax was tested with, {TESTED}, or a newer zojax."
        )


# Before jaxlib 0.10.2, the names of its module _hlo were in _jax.
READ_HLO = PrivateName(
    ("jaxlib._hlo", "jaxlib._jax"), "hlo_module_from_text", "reads a compiled program"
)
# JAX's public cost analysis needs the backend's plugin, and CUDA's plugin does not implement it.
# This function analyses a program's text.
ANALYSE_HLO = PrivateName(
    ("jaxlib._jax",), "hlo_module_cost_analysis", "counts a program's operations and bytes"
)
START_CUDA_PLUGIN = PrivateName(
    ("jax_plugins.xla_cuda12",), "initialize", "compiles for an NVIDIA GPU that is not there"
)


def analysed(text: str) -> dict[str, float]:
    """Return XLA's own cost analysis of a program's text, in which a loop's body counts once.

    Raises:
      ImportError: This version of jax has no such analysis.
    """
    module = READ_HLO.find()(text)
    # The client of any backend works, because only the text is analysed.
    client: Any = jax.local_devices(backend="cpu")[0].client
    return dict(ANALYSE_HLO.find()(client, module))


def has_cuda_plugin() -> bool:
    """Whether XLA's compiler for NVIDIA's GPUs is installed."""
    try:
        importlib.import_module(START_CUDA_PLUGIN.modules[0])
    except ImportError:
        return False
    return True


def start_cuda_plugin() -> None:
    """Register the CUDA plugin with JAX, which rejects it if CUDA's run-time is missing.

    Raises:
      ImportError: This version of the plugin cannot be started.
    """
    START_CUDA_PLUGIN.find()()

"""What planning takes of jax and jaxlib that is no part of their public interface.

All of it is here and nowhere else in zojax, so that a release that moves a name is mended in one
place. ``tests/planning/test_jaxlib.py`` says which name is gone, and in which version of jax.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any, NamedTuple

import jax

TESTED = "0.10.2"
"""The newest jax that the names below were found in."""

# An environment variable: the CUDA plugin is to be taken although CUDA's run-time is missing.
SKIP_CUDA_CHECK = "JAX_SKIP_CUDA_CONSTRAINTS_CHECK"


class PrivateName(NamedTuple):
    """A name that the next release of jax may move."""

    modules: tuple[str, ...]  # where it is: in the first of these that has it
    name: str
    purpose: str  # what planning cannot do without it

    def find(self) -> Any:
        """What the name stands for.

        Raises:
          ImportError: It is gone, though its package is installed.
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


# Before jaxlib 0.10.2 its module _jax had what is now in _hlo.
READ_HLO = PrivateName(
    ("jaxlib._hlo", "jaxlib._jax"), "hlo_module_from_text", "reads a compiled program"
)
# JAX gives a program's cost only where its backend's plugin does, which CUDA's does not. The
# analysis itself takes a program's text.
ANALYSE_HLO = PrivateName(
    ("jaxlib._jax",), "hlo_module_cost_analysis", "counts a program's operations and bytes"
)
START_CUDA_PLUGIN = PrivateName(
    ("jax_plugins.xla_cuda12",), "initialize", "compiles for an NVIDIA GPU that is not there"
)


def analysed(text: str) -> dict[str, float]:
    """XLA's own cost analysis of a program's text, a loop's body taken once.

    Raises:
      ImportError: This version of jax has no such analysis.
    """
    module = READ_HLO.find()(text)
    # Any backend's client will do: the analysis is of the text.
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
    """Let JAX know the CUDA plugin, which it turned away where CUDA's run-time is missing.

    Raises:
      ImportError: This version of the plugin cannot be started.
    """
    START_CUDA_PLUGIN.find()()

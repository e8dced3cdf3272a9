"""Keeps JAX from looking for devices that the host does not have: it would print long warnings."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from pathlib import Path

# Device files of NVIDIA's drivers (dxg on WSL, nvhost and nvgpu on Jetson) and of TPUs.
_DRIVERS = ("nvidia*", "dxg", "nvhost*", "nvgpu*", "accel*", "vfio/[0-9]*")
# PCI vendors, NVIDIA and Google. If such a device has no driver, JAX's warning is useful.
_VENDORS = ("0x10de", "0x1ae0")


def may_have_accelerator(root: Path = Path("/")) -> bool:
    """Whether the host may have a GPU or a TPU, with a driver or without one.

    Args:
      root: Root of the file system in which device files and the PCI bus are looked up.
    """
    others = [p for p in entry_points(group="jax_plugins") if "xla_cuda" not in p.value]
    if sys.platform != "linux" or others:  # other platforms and plugins have other device files
        return True
    if any(True for pattern in _DRIVERS for _ in (root / "dev").glob(pattern)):
        return True
    vendors = (root / "sys/bus/pci/devices").glob("*/vendor")
    return any(vendor.read_text().strip() in _VENDORS for vendor in vendors)


def use_cpu() -> None:
    """Let JAX use the CPU, here and in child processes, unless the user has chosen a platform.

    JAX then does not start plugins for other devices; planning can still use their compilers.
    """
    jax = sys.modules.get("jax")  # if it is not imported yet, it will read the environment
    if os.environ.get("JAX_PLATFORMS") or (jax and jax.config.jax_platforms):
        return
    os.environ["JAX_PLATFORMS"] = "cpu"
    if jax:
        jax.config.update("jax_platforms", "cpu")

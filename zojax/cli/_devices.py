"""Which devices JAX is let look for: those that are not there it complains of at length."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from pathlib import Path

import jax

# What NVIDIA's driver shows (on WSL dxg, on Jetson nvhost and nvgpu), and a TPU's.
_DRIVERS = ("nvidia*", "dxg", "nvhost*", "nvgpu*", "accel*", "vfio/[0-9]*")
# NVIDIA and Google: of a card whose driver is missing JAX's complaint is right.
_VENDORS = ("0x10de", "0x1ae0")


def may_have_accelerator(root: Path = Path("/")) -> bool:
    """Whether JAX may find a GPU or a TPU, or something worth a complaint.

    Args:
      root: Of the file system, whose files of drivers and of the PCI bus are looked at.
    """
    others = [p for p in entry_points(group="jax_plugins") if "xla_cuda" not in p.value]
    if sys.platform != "linux" or others:  # whose devices show in other ways
        return True
    if any(True for pattern in _DRIVERS for _ in (root / "dev").glob(pattern)):
        return True
    vendors = (root / "sys/bus/pci/devices").glob("*/vendor")
    return any(vendor.read_text().strip() in _VENDORS for vendor in vendors)


def use_cpu() -> None:
    """Have JAX use the CPU, here and in child processes, unless the user has named a platform.

    JAX then starts no plugin of other devices. Planning can use their compilers all the same.
    """
    if not jax.config.jax_platforms:  # what JAX_PLATFORMS says
        jax.config.update("jax_platforms", "cpu")
        os.environ["JAX_PLATFORMS"] = "cpu"

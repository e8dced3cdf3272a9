"""Devices to compile for that are not attached."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Generator
from types import ModuleType

from jax.experimental import topologies

from zojax.planning._targets import DEVICES, TARGETS

_SKIP_CHECK = "JAX_SKIP_CUDA_CONSTRAINTS_CHECK"


# Cached: programs accept one another's shardings only where the devices are the same objects.
@functools.cache
def topology(device: str = "a100-80gb", count: int = 1) -> topologies.TopologyDescription:
    """Describe ``count`` devices of one host, for the compiler alone.

    The attached devices stay what they are, and programs still run on those. Works before and
    after JAX has started its backends.

    Args:
      device: One of :data:`zojax.planning.DEVICES`.
      count: How many, ≥ 1.

    Returns:
      JAX's description; ``jax.sharding.Mesh(topology(count=8).devices, ("data",))`` is a mesh to
      shard abstract arguments over.

    Raises:
      ImportError: The compiler for the device is not installed.
      ValueError: ``device`` is unknown, or ``count`` < 1.
    """
    if device not in TARGETS:
        raise ValueError(f"topology: device must be one of {', '.join(DEVICES)}, got {device!r}.")
    if count < 1:
        raise ValueError(f"topology: count must be >= 1, got {count}.")
    plugin = _cuda_plugin()
    with _without_cuda_check():
        try:
            return _describe(device, count)
        except NotImplementedError:
            # JAX started before this call, and its check turned the plugin away because CUDA's
            # run-time libraries are missing. Compiling needs none of them.
            plugin.initialize()
            return _describe(device, count)


def _describe(device: str, count: int) -> topologies.TopologyDescription:
    shape = f"1x1x{count}"
    return topologies.get_topology_desc(
        shape, "cuda", target_config=TARGETS[device], topology=shape
    )


def _cuda_plugin() -> ModuleType:
    try:
        return importlib.import_module("jax_plugins.xla_cuda12")
    except ImportError as error:
        raise ImportError(
            "topology: planning for an NVIDIA GPU needs its compiler: "
            'pip install "zojax[plan]" (Linux; no GPU is needed).'
        ) from error


@contextlib.contextmanager
def _without_cuda_check() -> Generator[None]:
    before = os.environ.get(_SKIP_CHECK)
    os.environ[_SKIP_CHECK] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SKIP_CHECK]
        else:
            os.environ[_SKIP_CHECK] = before

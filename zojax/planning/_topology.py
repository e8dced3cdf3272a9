"""Descriptions of devices that are not attached, to compile for them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Generator, Mapping

from jax.experimental import topologies

from zojax.planning._devices import Device, device_named
from zojax.planning._jaxlib import SKIP_CUDA_CHECK, has_cuda_plugin, start_cuda_plugin
from zojax.planning._targets import TARGETS

# Without these settings, libtpu would query Google Cloud's metadata server for the type of machine,
# allow only one process at a time to use the chips, and print long warnings.
_NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}
# XLA's names of the TPUs, and the number of axes of their meshes.
_TPUS = {"tpu-v5e": ("v5e", 2), "tpu-v5p": ("v5p", 3), "tpu-v6e": ("v6e", 2)}


# Cached, because programs accept each other's shardings only if the devices are the same objects.
@functools.cache
def topology(device: str = "a100-80gb", count: int = 1) -> topologies.TopologyDescription:
    """Describe ``count`` devices of one host, for compilation only.

    The attached devices are not affected, and programs still run on them. This works before and
    after JAX has started its backends.

    Args:
      device: One of :data:`zojax.planning.DEVICES`.
      count: The number of devices, ≥ 1.

    Returns:
      JAX's description; ``jax.sharding.Mesh(topology(count=8).devices, ("data",))`` is a mesh to
      shard abstract arguments over.

    Raises:
      ImportError: The compiler for the device is not installed.
      ValueError: ``device`` is unknown, ``count`` < 1, or ``count`` is not a power of 2 for a TPU.
    """
    found = device_named("topology", device)
    if count < 1:
        raise ValueError(f"topology: count must be >= 1, got {count}.")
    return _tpu(found, count) if found.platform == "tpu" else _cuda(found, count)


def _cuda(device: Device, count: int) -> topologies.TopologyDescription:
    if not has_cuda_plugin():
        raise ImportError(_missing("an NVIDIA GPU", "no GPU"))
    shape = f"1x1x{count}"

    def describe() -> topologies.TopologyDescription:
        return topologies.get_topology_desc(
            shape, "cuda", target_config=TARGETS[device.name], topology=shape
        )

    with _environment({SKIP_CUDA_CHECK: "1"}):
        try:
            return describe()
        except NotImplementedError:
            # JAX was started before this call, and rejected the plugin because CUDA's run-time
            # libraries are missing. Compiling does not need them.
            start_cuda_plugin()
            return describe()


def _tpu(device: Device, count: int) -> topologies.TopologyDescription:
    if count & (count - 1):
        raise ValueError(f"topology: count must be a power of 2 for a TPU, got {count}.")
    try:
        importlib.import_module("libtpu")
    except ImportError as error:
        raise ImportError(_missing("a TPU", "no TPU")) from error
    name, axes = _TPUS[device.name]
    bounds = _mesh(count, axes)
    # All chips are on one host: several hosts would not change the plan of a step.
    with _environment(_NO_TPU):
        return topologies.get_topology_desc(
            f"{name}:{'x'.join(map(str, bounds))}",
            platform="tpu",
            chips_per_host_bounds=(*bounds, 1, 1)[:3],
        )


def _mesh(count: int, axes: int) -> list[int]:
    """Factor ``count``, a power of 2, into ``axes`` sides that differ as little as possible."""
    sides = [1] * axes
    while count > 1:
        shortest = sides.index(min(sides))
        sides[shortest] *= 2
        count //= 2
    return sorted(sides)


def _missing(what: str, not_needed: str) -> str:
    return (
        f"topology: planning for {what} needs its compiler: "
        f'pip install "zojax[plan]" (Linux; {not_needed} is needed).'
    )


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

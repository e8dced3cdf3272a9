"""Descriptions of GPUs that XLA needs to compile for them when they are not attached.

Each text is XLA's ``GpuTargetConfigProto``. On a machine with the GPU, XLA writes it with
``--xla_dump_to=FOLDER`` (``*.gpu_target_config.pbtxt``); XLA's own repository has many of them in
``xla/backends/gpu/target_config/specs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# The template; its constants are the same for every GPU below.
_TEXT = """
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {shared_memory}
  threads_per_core_limit: {threads}
  core_count: {cores}
  fpus_per_core: {fpus}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth}
  l2_cache_size: {l2_cache}
  clock_rate_ghz: {clock}
  device_memory_size: {memory}
  shared_memory_per_block_optin: {shared_memory_optin}
  cuda_compute_capability {{ {capability} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
device_description_str: "{description}"
"""

_AMPERE = {
    "threads": 2048,
    "cores": 108,
    "fpus": 64,
    "clock": 1.41,
    "l2_cache": 41943040,
    "shared_memory": 167936,
    "shared_memory_optin": 166912,
    "capability": "major: 8",
}
_HOPPER = {
    "threads": 2048,
    "cores": 132,
    "fpus": 128,
    "clock": 1.98,
    "l2_cache": 52428800,
    "shared_memory": 233472,
    "shared_memory_optin": 232448,
    "capability": "major: 9 feature_extension: ACCELERATED_FEATURES",
}
_ADA = {
    "threads": 1536,
    "cores": 128,
    "fpus": 128,
    "clock": 2.52,
    "l2_cache": 75497472,
    "shared_memory": 102400,
    "shared_memory_optin": 101376,
    "capability": "major: 8 minor: 9",
}
_VOLTA = {
    "threads": 2048,
    "cores": 80,
    "fpus": 64,
    "clock": 1.53,
    "l2_cache": 6291456,
    "shared_memory": 98304,
    "shared_memory_optin": 98304,
    "capability": "major: 7",
}


def _text(generation: Mapping[str, object], memory: int, bandwidth: int, description: str) -> str:
    return _TEXT.format(**generation, memory=memory, bandwidth=bandwidth, description=description)


TARGETS: Mapping[str, str] = MappingProxyType(
    {
        "a100-80gb": _text(_AMPERE, 85100068864, 2039040000000, "NVIDIA A100-SXM4-80GB"),
        "a100-40gb": _text(_AMPERE, 42331013120, 1555200000000, "NVIDIA A100-SXM4-40GB"),
        "h100-80gb": _text(_HOPPER, 84942979072, 3352320000000, "NVIDIA H100 80GB HBM3"),
        "h200-141gb": _text(_HOPPER, 151397597184, 4800000000000, "NVIDIA H200 141GB HBM3e"),
        "rtx-4090-24gb": _text(_ADA, 25250627584, 1008096000000, "NVIDIA GeForce RTX 4090"),
        "v100-32gb": _text(_VOLTA, 34089730048, 898048000000, "Tesla V100-SXM2-32GB"),
    }
)

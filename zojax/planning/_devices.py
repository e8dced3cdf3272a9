"""The devices to plan for: their memory and their peak rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Device:
    """One GPU or TPU chip, by its vendor's figures."""

    name: str
    platform: Literal["cuda", "tpu"]
    memory: int  # bytes that a program can use
    bandwidth: float  # bytes/s between the memory and the chip
    peak: Mapping[str, float]  # dtype -> FLOP/s of dense matrix products, on the fastest units
    source: str  # reference for the figures
    link: float | None = None  # bytes/s to other devices of its host, one way; None if unknown

    def peak_of(self, dtype: str) -> float | None:
        """FLOP/s in ``dtype``, or None if the device has no units for it."""
        return self.peak.get(dtype)


def _gpu(
    name: str, memory: int, bandwidth: float, link: float | None, source: str, **peak: float
) -> Device:
    return Device(name, "cuda", memory, bandwidth, MappingProxyType(peak), source, link)


def _tpu(name: str, memory: int, bandwidth: float, bfloat16: float) -> Device:
    # The matrix unit multiplies bfloat16 only. float32 is rounded to it at JAX's default precision;
    # float16 is converted.
    peak = {"bfloat16": bfloat16, "float32": bfloat16, "float16": bfloat16}
    source = f"https://cloud.google.com/tpu/docs/{name.removeprefix('tpu-')}"
    return Device(name, "tpu", memory, bandwidth, MappingProxyType(peak), source)


_A100 = "NVIDIA A100 Tensor Core GPU data sheet (SXM)"
_H100 = "NVIDIA H100 Tensor Core GPU data sheet (SXM)"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet (SXM)"
_RTX_4090 = "NVIDIA Ada GPU architecture white paper (GeForce RTX 4090)"
_V100 = "NVIDIA V100 Tensor Core GPU data sheet (SXM2)"

# The memory of a GPU is what CUDA reports on it (data sheets round: 80GB, 141GB); that of a TPU is
# its vendor's figure. Peaks are without sparsity. Products of float32 use TF32 if the GPU has it,
# which is JAX's default precision: 156 TFLOP/s on an A100, whose float32 units reach 19.5. Links
# are NVLink, with half of the data sheets' bandwidth, which is that of both directions together.
TABLE: Mapping[str, Device] = MappingProxyType(
    {
        device.name: device
        for device in (
            _gpu(
                "a100-80gb",
                85_100_068_864,
                2039e9,
                300e9,
                _A100,
                float32=156e12,
                bfloat16=312e12,
                float16=312e12,
            ),
            _gpu(
                "a100-40gb",
                42_331_013_120,
                1555e9,
                300e9,
                _A100,
                float32=156e12,
                bfloat16=312e12,
                float16=312e12,
            ),
            _gpu(
                "h100-80gb",
                84_942_979_072,
                3350e9,
                450e9,
                _H100,
                float32=494.5e12,
                bfloat16=989e12,
                float16=989e12,
            ),
            _gpu(
                "h200-141gb",
                151_397_597_184,
                4800e9,
                450e9,
                _H200,
                float32=494.5e12,
                bfloat16=989e12,
                float16=989e12,
            ),
            # Volta has neither TF32 nor bfloat16.
            _gpu("v100-32gb", 34_089_730_048, 900e9, 150e9, _V100, float32=15.7e12, float16=125e12),
            # 24 GB. Summed in float32, products take twice as long as in float16 on a GeForce.
            _gpu(
                "rtx-4090-24gb",
                25_250_627_584,
                1008e9,
                None,
                _RTX_4090,
                float32=82.6e12,
                bfloat16=165.2e12,
                float16=165.2e12,
            ),
            _tpu("tpu-v5e", 16 * 2**30, 819e9, 197e12),
            _tpu("tpu-v5p", 95 * 2**30, 2765e9, 459e12),
            _tpu("tpu-v6e", 32 * 2**30, 1638e9, 918e12),
        )
    }
)

DEVICES: tuple[str, ...] = tuple(TABLE)
"""Names of the devices that can be planned for."""


def device_named(where: str, name: str) -> Device:
    """Return the device of a name.

    Raises:
      ValueError: No device has this name.
    """
    if name not in TABLE:
        raise ValueError(f"{where}: device must be one of {', '.join(DEVICES)}, got {name!r}.")
    return TABLE[name]

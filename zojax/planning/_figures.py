"""The figures of a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zojax.planning._devices import Device
from zojax.planning._program import ProgramPlan


@dataclasses.dataclass(frozen=True)
class Plan:
    """What :func:`plan` found. All bytes are of one device."""

    model: str  # the workload's name
    optimizer: str
    device: Device
    devices: int
    mesh: Mapping[str, int]  # axes and their sizes; empty for one device
    batch_shapes: tuple[tuple[int, ...], ...]  # of a step, over all devices
    dtype: str  # that most of the parameters have
    layers: int  # that are alike; 0 where nothing is known of them
    parameters: int  # of the whole model
    parameter_bytes: int
    state_bytes: int  # of the optimizer
    forward: ProgramPlan
    step: ProgramPlan  # the forward pass again where the optimizer is "inference"

    @property
    def total_bytes(self) -> int:
        """Device memory of the step."""
        return self.step.memory.device

    @property
    def temporary_bytes(self) -> int:
        """All but parameters and state: activations, gradients, the batch, work space."""
        return self.total_bytes - self.parameter_bytes - self.state_bytes

    @property
    def free_bytes(self) -> int:
        """The device's memory less the total; negative where the step does not fit."""
        return self.device.memory - self.total_bytes

    @property
    def fits(self) -> bool:
        """Whether the device holds the step's buffers."""
        return self.free_bytes >= 0

    @property
    def extrapolated(self) -> bool:
        """Whether the step was compiled at two depths instead of the model's own."""
        return len(self.step.compiled_layers) > 1

    def to_dict(self) -> dict[str, Any]:
        """All of it, of plain JSON types, units in the names."""
        found = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("device", "forward", "step")
        }
        return {
            **found,
            "batch_shapes": [[*shape] for shape in self.batch_shapes],
            "device": self.device.name,
            "device_memory_bytes": self.device.memory,
            "temporary_bytes": self.temporary_bytes,
            "total_bytes": self.total_bytes,
            "free_bytes": self.free_bytes,
            "fits": self.fits,
            "forward": self.forward.to_dict(),
            "step": self.step.to_dict(),
        }

"""The figures of a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zojax.planning._devices import Device
from zojax.planning._program import ProgramPlan


@dataclasses.dataclass(frozen=True)
class Plan:
    """The figures of :func:`plan`. All bytes are those of one device."""

    model: str  # the workload's name
    optimizer: str  # one of OPTIMIZERS
    device: Device  # the kind of device
    devices: int  # number of devices
    mesh: Mapping[str, int]  # axes and their sizes; empty for one device
    batch_shapes: tuple[tuple[int, ...], ...]  # shapes of a step's batch, over all devices
    dtype: str  # the dtype of most parameters
    layers: int  # number of equal layers; 0 if unknown
    parameters: int  # number of parameters of the entire model
    parameter_bytes: int  # bytes of the parameters
    state_bytes: int  # bytes of the optimizer's state
    forward: ProgramPlan  # the forward pass
    step: ProgramPlan  # the training step; the forward pass again if the optimizer is "inference"

    @property
    def total_bytes(self) -> int:
        """Device memory of the step."""
        return self.step.memory.device

    @property
    def temporary_bytes(self) -> int:
        """Everything except parameters and state: activations, gradients, batch, work space."""
        return self.total_bytes - self.parameter_bytes - self.state_bytes

    @property
    def free_bytes(self) -> int:
        """The device's memory minus the total; negative if the step does not fit."""
        return self.device.memory - self.total_bytes

    @property
    def fits(self) -> bool:
        """Whether the step's buffers fit into the device's memory."""
        return self.free_bytes >= 0

    @property
    def extrapolated(self) -> bool:
        """Whether the step was compiled at two depths instead of the model's own."""
        return len(self.step.compiled_layers) > 1

    def to_dict(self) -> dict[str, Any]:
        """Convert to types of JSON; the names include units."""
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

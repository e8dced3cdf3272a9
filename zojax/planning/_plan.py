"""What a step needs on a device that is not there: memory, operations, traffic, time at best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zojax.planning._devices import Device, device_named
from zojax.planning._program import (
    INFERENCE,
    OPTIMIZERS,
    ZEROTH_ORDER,
    Compiled,
    ProgramPlan,
    compile_program,
    continued,
    program_plan,
    transformation,
)
from zojax.planning._sharding import bytes_on_each
from zojax.planning._sharding import mesh as mesh_of_devices
from zojax.planning._step import abstract_state
from zojax.planning._topology import topology
from zojax.planning._workload import workload
from zojax.streaming import part_of_model

DTYPES = ("bfloat16", "float16", "float32")

# A zeroth-order step of more layers than these takes minutes and gigabytes to compile: it is
# compiled at the two depths and continued in a line.
_WHOLE, _DEPTHS = 4, (2, 4)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What :func:`plan` found. All bytes are of one device."""

    model: str
    optimizer: str
    device: Device
    devices: int
    mesh: Mapping[str, int]  # axes and their sizes; empty for one device
    batch: int
    length: int
    dtype: str
    layers: int
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
            "device": self.device.name,
            "device_memory_bytes": self.device.memory,
            "temporary_bytes": self.temporary_bytes,
            "total_bytes": self.total_bytes,
            "free_bytes": self.free_bytes,
            "fits": self.fits,
            "forward": self.forward.to_dict(),
            "step": self.step.to_dict(),
        }

    def __str__(self) -> str:
        """The report as text."""
        from zojax.planning._report import report

        return report(self)

    def chart(self, path: str | Path) -> None:
        """Draw the memory and the roofline times.

        Args:
          path: An image file, overwritten where it is; the ending says which kind.

        Raises:
          ImportError: matplotlib is not installed.
        """
        from zojax.planning._chart import chart

        chart(self, Path(path))


def plan(
    model: str | Path,
    optimizer: str = "zo_adamu",
    device: str = "a100-80gb",
    *,
    devices: int = 1,
    mesh: Mapping[str, int] | None = None,
    batch: int = 16,
    length: int = 256,
    dtype: str = "bfloat16",
    full: bool = False,
    shallow: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """Compile a training step and its forward pass for a device, and read what they need.

    A zeroth-order step of a model of more than 4 layers is compiled at 2 and 4 layers, and every
    figure continued in a line to the model's depth: its layers are alike. The plan says so. The
    forward pass and a first-order step are compiled whole.

    Args:
      model: As for :func:`workload`.
      optimizer: ``"zo_adamu"``, ``"mezo"`` or ``"forward_gradient"``; ``"adam"`` or ``"sgd"``, by
        backpropagation; ``"inference"``, a forward pass alone.
      device: One of :data:`DEVICES`.
      devices: How many, ≥ 1; the parameters are sharded over them, tensor-parallel.
      mesh: Axes and their sizes instead, as for :func:`mesh`: ``{"data": 2, "model": 4}``.
      batch, length: Sequences of a step, over all devices, and tokens of each.
      dtype: Of parameters, state and computation: ``"bfloat16"``, ``"float16"``, ``"float32"``.
      full: Compile every step whole, which may take minutes and gigabytes.
      shallow: Compile the forward pass at 2 and 4 layers as well, which is as exact.
      tell: Called with a line when a compilation begins.

    Raises:
      ImportError: The compiler for the device, or transformers, is not installed.
      ValueError: An argument is unknown or out of range.
      DoesNotFitError: A TPU's compiler refused the program for want of memory.
    """
    found = device_named("plan", device)
    _check(optimizer, dtype, found)
    tell = tell or (lambda _: None)
    axes = _axes(devices, mesh)
    target = mesh_of_devices(device, **axes) if axes else topology(device)

    def program(layers: int | None, name: str) -> Compiled:
        shallow = workload(model, batch=batch, length=length, dtype=dtype, layers=layers)
        what = "forward pass" if name == INFERENCE else f"step of {name}"
        tell(f"compiling the {what}, {shallow.layers} layers")
        with part_of_model(work.nbytes):
            return compile_program(target, shallow, name)

    work = workload(model, batch=batch, length=length, dtype=dtype)
    params, state = abstract_state(target, work, transformation(optimizer))

    def planned(name: str, whole: bool) -> ProgramPlan:
        if whole or work.layers <= _WHOLE:
            return program_plan(program(None, name), found, dtype, (work.layers,))
        few, more = (program(layers, name) for layers in _DEPTHS)
        return program_plan(continued(few, more, _DEPTHS, work.layers), found, dtype, _DEPTHS)

    forward = planned(INFERENCE, not shallow)
    if optimizer == INFERENCE:
        step = forward
    else:
        step = planned(optimizer, full or optimizer not in ZEROTH_ORDER)
    return Plan(
        model=str(model),
        optimizer=optimizer,
        device=found,
        devices=math.prod(axes.values()),
        mesh=axes,
        batch=batch,
        length=length,
        dtype=dtype,
        layers=work.layers,
        parameters=work.size,
        parameter_bytes=bytes_on_each(params),
        state_bytes=bytes_on_each(state),
        forward=forward,
        step=step,
    )


def _axes(devices: int, mesh: Mapping[str, int] | None) -> dict[str, int]:
    if mesh is None:
        # The count is checked where it is used; one device needs no mesh.
        return {} if devices == 1 else {"model": devices}
    if devices != 1:
        raise ValueError(f"plan: devices must not be given with mesh, got {devices} and {mesh}.")
    return dict(mesh)


def _check(optimizer: str, dtype: str, device: Device) -> None:
    if optimizer not in OPTIMIZERS:
        raise ValueError(
            f"plan: optimizer must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}."
        )
    possible = [name for name in DTYPES if device.peak_of(name)]
    if dtype not in possible:
        raise ValueError(
            f"plan: dtype must be one of {', '.join(possible)} on {device.name}, got {dtype!r}."
        )

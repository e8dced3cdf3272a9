"""What a step needs on a device that is not there: memory, operations, traffic, time at best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import jax

from zojax.planning._devices import Device, device_named
from zojax.planning._figures import Plan
from zojax.planning._program import (
    INFERENCE,
    ZEROTH_ORDER,
    Compiled,
    ProgramPlan,
    check_optimizer,
    compile_program,
    continued,
    program_plan,
    transformation,
)
from zojax.planning._sharding import bytes_on_each
from zojax.planning._sharding import mesh as mesh_of_devices
from zojax.planning._step import abstract_state
from zojax.planning._topology import topology
from zojax.planning._workload import Workload, made

DTYPES = ("bfloat16", "float16", "float32")

# A zeroth-order step of more layers than these takes minutes and gigabytes to compile: it is
# compiled at the two depths and continued in a line.
_WHOLE, _DEPTHS = 4, (2, 4)


def plan(
    work: Workload | Callable[[], Workload],
    optimizer: str = "zo_adamu",
    device: str = "a100-80gb",
    *,
    devices: int = 1,
    mesh: Mapping[str, int] | None = None,
    full: bool = False,
    shallow: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """Compile a training step and its forward pass for a device, and read what they need.

    A zeroth-order step of a model of more than 4 layers is compiled at 2 and 4 layers, where the
    workload says how, and every figure continued in a line to the model's depth: its layers are
    alike. The plan says so. The forward pass and a first-order step are compiled whole.

    Args:
      work: Shapes and a loss, such as :func:`zojax.lm.models.workload` makes of a model's name; or
        a function that makes them, called once the other arguments are known to be right.
      optimizer: ``"zo_adamu"``, ``"mezo"`` or ``"forward_gradient"``; ``"adam"`` or ``"sgd"``, by
        backpropagation; ``"inference"``, a forward pass alone.
      device: One of :data:`DEVICES`.
      devices: How many, ≥ 1; the parameters are sharded over them, tensor-parallel.
      mesh: Axes and their sizes instead, as for :func:`mesh`: ``{"data": 2, "model": 4}``.
      full: Compile every step whole, which may take minutes and gigabytes.
      shallow: Compile the forward pass at 2 and 4 layers as well, which is as exact.
      tell: Called with a line when a compilation begins.

    Returns:
      The figures, for :func:`report`, :func:`chart`, or a program to read.

    Raises:
      ImportError: The compiler for the device is not installed.
      TypeError: ``work`` is no workload.
      ValueError: An argument is unknown or out of range, or the device has no units for the dtype
        of most of the parameters.
      DoesNotFitError: A TPU's compiler refused the program for want of memory.
    """
    found = device_named("plan", device)
    check_optimizer("plan", optimizer)
    whole = made("plan", work)
    _check_dtype(whole.dtype, found)
    tell = tell or (lambda _: None)
    axes = _axes(devices, mesh)
    target = mesh_of_devices(device, **axes) if axes else topology(device)

    def program(work: Workload, name: str) -> Compiled:
        what = "forward pass" if name == INFERENCE else f"step of {name}"
        tell(f"compiling the {what}" + (f", {work.layers} layers" if work.layers else ""))
        return compile_program(target, work, name, model_bytes=whole.nbytes)

    def planned(name: str, at_once: bool) -> ProgramPlan:
        if at_once or whole.at_depth is None or whole.layers <= _WHOLE:
            return program_plan(program(whole, name), found, whole.dtype, (whole.layers,))
        few, more = (program(_at_depth(whole, layers), name) for layers in _DEPTHS)
        line = continued(few, more, _DEPTHS, whole.layers)
        return program_plan(line, found, whole.dtype, _DEPTHS)

    params, state = abstract_state(target, whole, transformation(optimizer))
    forward = planned(INFERENCE, not shallow)
    if optimizer == INFERENCE:
        step = forward
    else:
        step = planned(optimizer, full or optimizer not in ZEROTH_ORDER)
    return Plan(
        model=whole.name,
        optimizer=optimizer,
        device=found,
        devices=math.prod(axes.values()),
        mesh=axes,
        batch_shapes=tuple(leaf.shape for leaf in jax.tree.leaves(whole.batch)),
        dtype=whole.dtype,
        layers=whole.layers,
        parameters=whole.size,
        parameter_bytes=bytes_on_each(params),
        state_bytes=bytes_on_each(state),
        forward=forward,
        step=step,
    )


def _at_depth(work: Workload, layers: int) -> Workload:
    shallow = made("plan", work.at_depth(layers) if work.at_depth else work)
    if shallow.layers != layers:
        raise ValueError(
            f"plan: work.at_depth({layers}) must make a workload of {layers} layers, got one of "
            f"{shallow.layers}. Set its field layers."
        )
    return shallow


def _axes(devices: int, mesh: Mapping[str, int] | None) -> dict[str, int]:
    if mesh is None:
        # The count is checked where it is used; one device needs no mesh.
        return {} if devices == 1 else {"model": devices}
    if devices != 1:
        raise ValueError(f"plan: devices must not be given with mesh, got {devices} and {mesh}.")
    return dict(mesh)


def _check_dtype(dtype: str, device: Device) -> None:
    possible = [name for name in DTYPES if device.peak_of(name)]
    if dtype not in possible:
        raise ValueError(
            f"plan: dtype must be one of {', '.join(possible)} on {device.name}, got {dtype!r}."
        )

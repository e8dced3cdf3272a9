"""Plans a step on a device that is not attached: memory, operations, traffic, minimum time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

from zojax.planning._devices import Device, device_named
from zojax.planning._figures import Plan
from zojax.planning._program import (
    BLOCKWISE,
    INFERENCE,
    ZEROTH_ORDER,
    Compiled,
    ProgramPlan,
    check_optimizer,
    check_queries,
    check_subspace,
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

# Compiling a zeroth-order step of more layers than _WHOLE takes minutes and gigabytes. It is
# compiled at the two _DEPTHS instead, and its figures are extrapolated linearly.
_WHOLE, _DEPTHS = 4, (2, 4)


def plan(
    work: Workload | Callable[[], Workload],
    optimizer: str = "zo_adamu",
    device: str = "a100-80gb",
    *,
    devices: int = 1,
    mesh: Mapping[str, int] | None = None,
    num_queries: int = 1,
    subspace_rank: int | None = None,
    full: bool = False,
    shallow: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """Compile a training step and its forward pass for a device, and read what they need.

    If a model has more than 4 equal layers and the workload has ``at_depth``, a zeroth-order step
    is compiled at 2 and at 4 layers, and all of its figures are extrapolated linearly to the
    model's depth; the plan says so. The forward pass and first-order steps are compiled at full
    depth.

    Args:
      work: Shapes and a loss, such as :func:`zojax.lm.models.workload` makes for a model's name; or
        a function that returns them, which is called after the other arguments have been checked.
      optimizer: One of :data:`OPTIMIZERS`: a named optimizer of zojax; ``"adam"`` or ``"sgd"``, by
        backpropagation; ``"inference"``, a forward pass alone. A step of ``zo_sgd_blockwise`` needs
        layers with leaves of their own, and is compiled at full depth.
      device: One of :data:`DEVICES`.
      devices: The number of devices, ≥ 1, over which the parameters are sharded (tensor
        parallelism).
      mesh: Axes and sizes of a mesh, instead of ``devices``, as for :func:`mesh`: ``{"data": 2,
        "model": 4}``.
      num_queries: Directions of a zeroth-order step; of ``es`` its pairs, and 1 for its usual 16.
      subspace_rank: The rank of a subspace that a zeroth-order step tunes, as
        :func:`zojax.subspace` does, folded outside of the step; None for all parameters.
      full: Compile every step at full depth, which may take minutes and gigabytes.
      shallow: Compile the forward pass at 2 and 4 layers too, which is equally exact.
      tell: Called with a line when a compilation begins.

    Returns:
      The figures, which :func:`report` and :func:`chart` present.

    Raises:
      ImportError: The compiler for the device is not installed.
      TypeError: ``work`` is not a workload.
      ValueError: An argument is unknown or out of range, or the device has no units for the dtype
        of most parameters.
      DoesNotFitError: A TPU's compiler refused the program because it exceeds the memory.
    """
    found = device_named("plan", device)
    check_optimizer("plan", optimizer)
    check_queries("plan", optimizer, num_queries)
    check_subspace("plan", optimizer, subspace_rank)
    entire = made("plan", work)
    _check_dtype(entire.dtype, found)
    tell = tell or (lambda _: None)
    axes = _axes(devices, mesh)
    target = mesh_of_devices(device, **axes) if axes else topology(device)

    def program(work: Workload, name: str) -> Compiled:
        what = "forward pass" if name == INFERENCE else f"step of {name}"
        tell(f"compiling the {what}" + (f", {work.layers} layers" if work.layers else ""))
        tx = made_for(work, name)
        return compile_program(target, work, name, tx, model_bytes=entire.tuned_bytes)

    def made_for(work: Workload, name: str) -> Any:
        rank = subspace_rank if name == optimizer else None
        return transformation(work, name, num_queries if name == optimizer else 1, rank)

    def planned(name: str, full_depth: bool) -> ProgramPlan:
        if full_depth or entire.at_depth is None or entire.layers <= _WHOLE:
            return program_plan(program(entire, name), found, entire.dtype, (entire.layers,))
        few, more = (program(_at_depth(entire, layers), name) for layers in _DEPTHS)
        line = continued(few, more, _DEPTHS, entire.layers)
        return program_plan(line, found, entire.dtype, _DEPTHS)

    params, state = abstract_state(target, entire, made_for(entire, optimizer))
    forward = planned(INFERENCE, not shallow)
    if optimizer == INFERENCE:
        step = forward
    else:
        step = planned(optimizer, full or optimizer not in ZEROTH_ORDER or optimizer == BLOCKWISE)
    return Plan(
        model=entire.name,
        optimizer=in_words(optimizer, subspace_rank),
        device=found,
        devices=math.prod(axes.values()),
        mesh=axes,
        batch_shapes=tuple(leaf.shape for leaf in jax.tree.leaves(entire.batch)),
        dtype=entire.dtype,
        layers=entire.layers,
        parameters=entire.size,
        parameter_bytes=bytes_on_each(params),
        state_bytes=bytes_on_each(state),
        forward=forward,
        step=step,
    )


def in_words(optimizer: str, subspace_rank: int | None) -> str:
    """What a step is called."""
    return optimizer if subspace_rank is None else f"{optimizer}, subspace of rank {subspace_rank}"


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
        # One device needs no mesh. Other counts are checked by mesh().
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

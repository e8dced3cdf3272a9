"""One program of a plan: compiled whole, or at two depths and continued in a line."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax
from jax.experimental import topologies
from jax.sharding import Mesh

import zojax
from zojax.planning._collectives import Collective
from zojax.planning._cost import Cost, cost
from zojax.planning._devices import Device
from zojax.planning._memory import Memory, memory
from zojax.planning._step import compile_first_order, compile_forward, compile_step
from zojax.planning._workload import Workload

# A program's size does not depend on the numbers in it.
ZEROTH_ORDER: Mapping[str, Callable[[], optax.GradientTransformationExtraArgs]] = {
    "zo_adamu": lambda: zojax.zo_adamu(learning_rate=1e-4, eps=1e-3, key=0),
    "mezo": lambda: zojax.mezo(learning_rate=1e-6, eps=1e-3, key=0),
    "forward_gradient": lambda: zojax.forward_gradient_sgd(learning_rate=1e-6, key=0),
}
_FIRST_ORDER: Mapping[str, Callable[[], optax.GradientTransformation]] = {
    "adam": lambda: optax.adam(1e-4),
    "sgd": lambda: optax.sgd(1e-2),
}
INFERENCE = "inference"
OPTIMIZERS = (*ZEROTH_ORDER, *_FIRST_ORDER, INFERENCE)
"""What can be planned: training steps, and a forward pass alone."""


@dataclasses.dataclass(frozen=True)
class ProgramPlan:
    """One program, on each of its devices."""

    memory: Memory
    flops: float  # operations of arithmetic
    bytes_accessed: float  # between the chip and its memory
    collectives: Mapping[str, Collective]  # by kind; bytes of their results
    sent_bytes: float  # to other devices
    communication_seconds: float  # of the bytes sent; 0 where the device's link is unknown
    seconds: float  # roofline: no run can be faster
    compile_seconds: float  # on this machine, tracing included
    compiled_layers: tuple[int, ...]  # one depth: the whole model; two: continued in a line

    def to_dict(self) -> dict[str, Any]:
        """All of it, of plain JSON types, units in the names."""
        return {
            "argument_bytes": self.memory.argument,
            "output_bytes": self.memory.output,
            "alias_bytes": self.memory.alias,
            "temporary_bytes": self.memory.temp,
            "total_bytes": self.memory.device,
            "flops": self.flops,
            "bytes_accessed": self.bytes_accessed,
            "collectives": {kind: found._asdict() for kind, found in self.collectives.items()},
            "sent_bytes": self.sent_bytes,
            "communication_seconds": self.communication_seconds,
            "roofline_seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
            "compiled_layers": list(self.compiled_layers),
        }


class DoesNotFitError(ValueError):
    """The compiler itself found that the program exceeds the device's memory."""


class Compiled(NamedTuple):
    """What a plan reads from a compiled program."""

    memory: Memory
    cost: Cost
    seconds: float  # of the compilation


def check_optimizer(where: str, optimizer: str) -> None:
    """Refuse what cannot be planned."""
    if optimizer not in OPTIMIZERS:
        raise ValueError(
            f"{where}: optimizer must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}. For "
            f"one of your own use compile_step."
        )


def transformation(optimizer: str) -> Any:
    """The optax transformation whose state a program keeps."""
    if optimizer == INFERENCE:
        return optax.identity()
    return {**ZEROTH_ORDER, **_FIRST_ORDER}[optimizer]()


def compile_program(
    target: Mesh | topologies.TopologyDescription,
    work: Workload,
    optimizer: str,
    *,
    model_bytes: int,
) -> Compiled:
    """Compile a step, or a forward pass, and read what it needs.

    Args:
      target: The device or devices.
      work: What is compiled.
      optimizer: One of :data:`OPTIMIZERS`.
      model_bytes: Of the whole model's parameters, where ``work`` has a few of its layers.

    Raises:
      DoesNotFitError: A TPU's compiler refused the program for want of memory.
    """
    start = time.perf_counter()
    try:
        if optimizer == INFERENCE:
            compiled = compile_forward(target, work)
        elif optimizer in ZEROTH_ORDER:
            tx = ZEROTH_ORDER[optimizer]()
            compiled = compile_step(target, work, tx, model_bytes=model_bytes)
        else:
            compiled = compile_first_order(target, work, _FIRST_ORDER[optimizer]())
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DoesNotFitError(f"plan: the compiler refuses: {_reason(error)}") from error
    seconds = time.perf_counter() - start
    return Compiled(memory(compiled), cost(compiled), seconds)


def continued(shallow: Compiled, deep: Compiled, depths: tuple[int, int], layers: int) -> Compiled:
    """What a program of ``layers`` layers needs, in a line through two shallower ones.

    Exact where every layer beyond the shallower program's adds the same.
    """
    slope = (layers - depths[0]) / (depths[1] - depths[0])

    def line(low: float, high: float) -> float:
        return low + (high - low) * slope

    def whole(low: int, high: int) -> int:
        return round(line(low, high))

    none = Collective(0, 0)
    before, after = shallow.cost.collectives, deep.cost.collectives
    return Compiled(
        Memory(*map(whole, shallow.memory, deep.memory)),
        Cost(
            flops=line(shallow.cost.flops, deep.cost.flops),
            bytes_accessed=line(shallow.cost.bytes_accessed, deep.cost.bytes_accessed),
            collectives={
                kind: Collective(*map(whole, before.get(kind, none), after.get(kind, none)))
                for kind in {**before, **after}
            },
            unknown_loops=deep.cost.unknown_loops,
            sent=line(shallow.cost.sent, deep.cost.sent),
        ),
        shallow.seconds + deep.seconds,
    )


def program_plan(
    found: Compiled, device: Device, dtype: str, compiled_layers: tuple[int, ...]
) -> ProgramPlan:
    """Add what the device makes of it: the roofline time."""
    compute = found.cost.flops / device.peak[dtype]
    traffic = found.cost.bytes_accessed / device.bandwidth
    communication = found.cost.sent / device.link if device.link else 0.0
    return ProgramPlan(
        memory=found.memory,
        flops=found.cost.flops,
        bytes_accessed=found.cost.bytes_accessed,
        collectives=dict(sorted(found.cost.collectives.items())),
        sent_bytes=found.cost.sent,
        communication_seconds=communication,
        seconds=max(compute, traffic, communication),
        compile_seconds=found.seconds,
        compiled_layers=compiled_layers,
    )


def _reason(error: Exception) -> str:
    found = re.search(r"Ran out of memory.*?\.(?=\s|$)", str(error))
    return found[0] if found else str(error).splitlines()[0]

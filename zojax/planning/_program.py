"""One program of a plan: compiled at full depth, or extrapolated from two smaller depths."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
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
from zojax.quantized import any_quantized, scales

# The settings are arbitrary: a program's size does not depend on their values.
_ZO: dict[str, Any] = dict(learning_rate=1e-6, eps=1e-3, key=0)
ZEROTH_ORDER: Mapping[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
    "zo_adamu": partial(zojax.zo_adamu, **_ZO),
    "mezo": partial(zojax.mezo, **_ZO),
    "zo_sgd_sign": partial(zojax.zo_sgd_sign, **_ZO),
    "zo_sgd_momentum": partial(zojax.zo_sgd_momentum, **_ZO),
    "zo_sgd_conservative": partial(zojax.zo_sgd_conservative, **_ZO),
    "zo_sgd_blockwise": partial(zojax.zo_sgd_blockwise, **_ZO),
    "zo_adam": partial(zojax.zo_adam, **_ZO),
    "zo_adamm": partial(zojax.zo_adamm, **_ZO),
    "forward_gradient_sgd": partial(zojax.forward_gradient_sgd, learning_rate=1e-6, key=0),
    "es": partial(zojax.es, **_ZO),
}
# Each layer's losses pass through all layers, so the cost of a step is no line in their number.
BLOCKWISE = "zo_sgd_blockwise"
_FIRST_ORDER: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adam": partial(optax.adam, 1e-4),
    "sgd": partial(optax.sgd, 1e-2),
}
INFERENCE = "inference"
OPTIMIZERS = (*ZEROTH_ORDER, *_FIRST_ORDER, INFERENCE)
"""The programs that can be planned: training steps, and a forward pass alone."""


@dataclasses.dataclass(frozen=True)
class ProgramPlan:
    """One program, on each of its devices."""

    memory: Memory  # memory of one device
    flops: float  # floating-point operations
    bytes_accessed: float  # bytes between the chip and its memory
    collectives: Mapping[str, Collective]  # communication by kind, with the bytes of its results
    sent_bytes: float  # bytes sent to other devices
    communication_seconds: float  # time to send these; 0 if the device's link is unknown
    seconds: float  # roofline time, a lower bound of any run
    compile_seconds: float  # time to compile on this machine, including tracing
    compiled_layers: tuple[int, ...]  # one depth: the model's; two: extrapolated from these

    def to_dict(self) -> dict[str, Any]:
        """Convert to types of JSON; the names include units."""
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
    """The figures that a plan reads from a compiled program."""

    memory: Memory  # memory of one device
    cost: Cost  # operations, traffic and communication of one device
    seconds: float  # time to compile


def check_optimizer(where: str, optimizer: str) -> None:
    """Refuse the name of an optimizer that cannot be planned."""
    if optimizer not in OPTIMIZERS:
        raise ValueError(
            f"{where}: optimizer must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}. For "
            f"one of your own use compile_step."
        )


def check_queries(where: str, optimizer: str, num_queries: int) -> None:
    """Refuse several queries of an optimizer that has none."""
    if num_queries < 1:
        raise ValueError(f"{where}: num_queries must be >= 1, got {num_queries}.")
    if num_queries > 1 and (optimizer not in ZEROTH_ORDER or optimizer == BLOCKWISE):
        raise ValueError(
            f"{where}: num_queries must be 1 for {optimizer}, which has no queries, got "
            f"{num_queries}."
        )


def check_subspace(where: str, optimizer: str, rank: int | None) -> None:
    """Refuse a subspace for an optimizer that has none."""
    if rank is None:
        return
    if rank < 1:
        raise ValueError(f"{where}: subspace_rank must be >= 1, got {rank}.")
    if optimizer not in ZEROTH_ORDER:
        raise ValueError(
            f"{where}: subspace_rank must not be given for {optimizer}, which needs no estimate, "
            f"got {rank}."
        )


def transformation(
    work: Workload, optimizer: str, num_queries: int = 1, subspace_rank: int | None = None
) -> Any:
    """Make the optax transformation of an optimizer; the identity for inference.

    Args:
      work: Says which branch of its parameters is tuned.
      optimizer: One of :data:`OPTIMIZERS`.
      num_queries: Directions of a zeroth-order step; 1 for the optimizer's own number.
      subspace_rank: The rank of a subspace that it tunes, or None.
    """
    if optimizer == INFERENCE:
        return optax.identity()
    settings = {} if num_queries == 1 else {"num_queries": num_queries}
    if optimizer == "es" and settings:
        settings = {"population": 2 * num_queries}
    tx = {**ZEROTH_ORDER, **_FIRST_ORDER}[optimizer](**settings)
    quantized = any_quantized(work.tuned)
    if subspace_rank is not None:
        # Between two steps it is folded, as finetune does; integers cannot take it in.
        refresh = None if quantized else 50
        tx = zojax.subspace(tx, rank=subspace_rank, refresh=refresh, key=0, in_update=False)
    elif quantized:
        tx = zojax.select(tx, scales(work.tuned))
    return tx if work.branch is None else zojax.select(tx, f"{work.branch}/*")


def compile_program(
    target: Mesh | topologies.TopologyDescription,
    work: Workload,
    optimizer: str,
    tx: Any,
    *,
    model_bytes: int,
) -> Compiled:
    """Compile a step, or a forward pass, and read its figures.

    Args:
      target: The device or devices.
      work: The workload to compile.
      optimizer: One of :data:`OPTIMIZERS`.
      tx: What :func:`transformation` made of it.
      model_bytes: Bytes of the parameters that are tuned in the entire model, if ``work`` has only
        a few of its layers.

    Raises:
      DoesNotFitError: A TPU's compiler refused the program because it exceeds the memory.
    """
    start = time.perf_counter()
    try:
        if optimizer == INFERENCE:
            compiled = compile_forward(target, work)
        elif optimizer in ZEROTH_ORDER:
            compiled = compile_step(target, work, tx, model_bytes=model_bytes)
        else:
            compiled = compile_first_order(target, work, tx)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DoesNotFitError(f"plan: the compiler refuses: {_reason(error)}") from error
    seconds = time.perf_counter() - start
    return Compiled(memory(compiled), cost(compiled), seconds)


def continued(shallow: Compiled, deep: Compiled, depths: tuple[int, int], layers: int) -> Compiled:
    """Extrapolate the figures of two shallow programs linearly to ``layers`` layers.

    This is exact if every layer beyond those of ``shallow`` adds the same amounts.
    """
    slope = (layers - depths[0]) / (depths[1] - depths[0])

    def line(low: float, high: float) -> float:
        return low + (high - low) * slope

    def rounded(low: int, high: int) -> int:
        return round(line(low, high))

    none = Collective(0, 0)
    before, after = shallow.cost.collectives, deep.cost.collectives
    return Compiled(
        Memory(*map(rounded, shallow.memory, deep.memory)),
        Cost(
            flops=line(shallow.cost.flops, deep.cost.flops),
            bytes_accessed=line(shallow.cost.bytes_accessed, deep.cost.bytes_accessed),
            collectives={
                kind: Collective(*map(rounded, before.get(kind, none), after.get(kind, none)))
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
    """Add the device's times: the roofline time, and that of communication."""
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

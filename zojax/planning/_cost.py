"""The cost of a compiled program: floating-point operations, memory traffic, communication."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import jax

from zojax.planning._collectives import Collective, collectives
from zojax.planning._hlo import Instruction, Program, parse, shapes
from zojax.planning._jaxlib import analysed

_LIBRARY_PRODUCT = 'custom_call_target="__cublas'
_CONTRACTED = re.compile(r'"lhs_contracting_dimensions":\[([^\]]*)\]')
_METADATA = re.compile(r", metadata=\{[^{}]*\}")


class Cost(NamedTuple):
    """The cost of one run of a program, on each of its devices."""

    flops: float  # floating-point operations; the integer operations of the noise do not count
    bytes_accessed: float  # bytes between the chip and its memory, after the compiler's fusions
    collectives: Mapping[str, Collective]  # communication by kind
    unknown_loops: int  # loops of unknown trip count, whose bodies are counted once
    sent: float = 0.0  # bytes sent to other devices, by algorithms that send the least


def cost(compiled: jax.stages.Compiled) -> Cost:
    """Count the operations, bytes and communication of a compiled program.

    The compiler's own analysis counts the body of a loop once. Here a body counts as often as it
    runs, if the program has the trip count. The analysis does not count products that are
    delegated to cuBLAS; their operations are computed from their shapes.

    Args:
      compiled: ``jax.jit(f).lower(...).compile()`` or the result of
        :func:`zojax.planning.compile_for`.

    Raises:
      ImportError: This version of jax has no cost analysis of a program's text.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.ones((64, 64))
      >>> product = jax.jit(lambda x: x @ x).lower(x).compile()
      >>> cost(product).flops == 2 * 64**3
      True
    """
    program = parse(_METADATA.sub("", compiled.as_text() or ""))
    flops, traffic = _once(program, program.entry)
    loops = program.loops()
    bodies: dict[str, tuple[float, float]] = {}
    for loop in loops:
        if loop.body not in bodies:
            bodies[loop.body] = _once(program, loop.body)
        # The analysis of the computation around the loop, which may be another loop's body,
        # includes one trip of this body already: only the further trips are added.
        more = loop.times * ((loop.trips or 1) - 1)
        flops += more * bodies[loop.body][0]
        traffic += more * bodies[loop.body][1]
    found, sent = collectives(program)
    return Cost(
        flops=flops + _library_products(program),
        bytes_accessed=traffic,
        collectives=found,
        unknown_loops=sum(loop.trips is None for loop in loops),
        sent=sent,
    )


def _once(program: Program, entry: str) -> tuple[float, float]:
    """Operations and bytes of a computation, with the body of every loop counted once."""
    found = analysed(program.text(entry))
    return max(found.get("flops", 0.0), 0.0), max(found.get("bytes accessed", 0.0), 0.0)


def _library_products(program: Program) -> float:
    flops = 0.0
    for name, times in program.runs():
        types: dict[str, str] = {}
        for instruction in program.computations[name]:
            types[instruction.name] = instruction.type
            if _LIBRARY_PRODUCT in instruction.rest:
                flops += times * _product_flops(instruction, types)
    return flops


def _product_flops(instruction: Instruction, types: Mapping[str, str]) -> int:
    contracted = _CONTRACTED.search(instruction.rest)
    left = instruction.rest.split(",", 1)[0].split(")", 1)[0].split()[-1].lstrip("%")
    if contracted is None or left not in types:
        return 0
    ((_, left_shape),) = shapes(types[left])
    dimensions = [int(axis.strip(' "')) for axis in contracted[1].split(",") if axis]
    _, result = shapes(instruction.type)[0]
    return 2 * math.prod(result) * math.prod(left_shape[axis] for axis in dimensions)

"""The communication of a compiled program."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from zojax.planning._hlo import Instruction, Program, nbytes, shapes


class Collective(NamedTuple):
    """One kind of communication between devices."""

    runs: int  # number of executions
    bytes: int  # bytes of all their results, on each device


# By kind: the bytes that a device sends in a ring of g devices, for each byte of the result. No
# algorithm sends fewer, except for reductions in the network switch itself.
_SENT = {
    "all-reduce": lambda g: 2 * (g - 1) / g,
    "all-gather": lambda g: (g - 1) / g,
    "reduce-scatter": lambda g: g - 1.0,
    "all-to-all": lambda g: (g - 1) / g,
    "collective-permute": lambda _: 1.0,
    "collective-broadcast": lambda _: 1.0,
}

_GROUPS = re.compile(r"replica_groups=(\{\{[\d,]*\}|\[\d+,\d+\]<=|mesh\[[^\]]*\][^{]*\{[^}]*\})")
_AXIS = re.compile(r"'([\w.]+)'(?:=(\d+)|:\(\d+\)(\d+))?")


def collectives(program: Program) -> tuple[dict[str, Collective], float]:
    """Return the communication of a program by kind, and the bytes that a device sends in total."""
    found: dict[str, Collective] = {}
    sent = 0.0
    for name, times in program.runs():
        for instruction in program.computations[name]:
            kind = instruction.opcode.removesuffix("-start")
            if kind not in _SENT:
                continue
            runs, size = found.get(kind, (0, 0))
            one = _result_bytes(instruction)
            found[kind] = Collective(runs + times, size + times * one)
            sent += times * one * _SENT[kind](_group(instruction))
    return found, sent


def _result_bytes(instruction: Instruction) -> int:
    arrays = shapes(instruction.type)
    if instruction.opcode.endswith("-start") and instruction.opcode != "all-reduce-start":
        # The result of such a start is a tuple of its operands, its results, and u32 scalars that
        # are left out here.
        arrays = [(dtype, shape) for dtype, shape in arrays if not (dtype == "u32" and not shape)]
        arrays = arrays[len(arrays) // 2 :]
    return sum(nbytes(dtype, shape) for dtype, shape in arrays)


def _group(instruction: Instruction) -> int:
    """The number of devices that communicate with each other; 1 if the text does not say it."""
    found = _GROUPS.search(instruction.rest)
    if found is None:
        return 1
    text = found[1]
    if text.startswith("{{"):
        return text.count(",") + 1
    if text.startswith("["):
        return int(text.removesuffix("]<=").rpartition(",")[2])
    mesh, _, axes = text.partition("]")
    sizes = {name: int(size) for name, size, _ in _AXIS.findall(mesh)}
    return math.prod(_sizes(_AXIS.findall(axes), sizes))


def _sizes(axes: Iterable[tuple[str, str, str]], sizes: dict[str, int]) -> Iterable[int]:
    # An axis is used entirely or in part: 'axis_1':(2)4 uses 4 of its devices.
    return (int(part) if part else sizes[name] for name, _, part in axes)

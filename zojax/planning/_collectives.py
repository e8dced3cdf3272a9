"""The communication of a compiled program."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from zojax.planning._hlo import Instruction, Program, nbytes, shapes


class Collective(NamedTuple):
    """One kind of communication between devices."""

    runs: int  # how many times
    bytes: int  # of their results, on each device


# By kind, what a device sends in a ring of g devices, in bytes of its result. No algorithm sends
# less, but for sums within the switch itself.
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
    """Every kind of communication, and the bytes that a device sends in all of it."""
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
        # Such a start gives its operands, its results, and perhaps scalars of its own.
        arrays = [(dtype, shape) for dtype, shape in arrays if not (dtype == "u32" and not shape)]
        arrays = arrays[len(arrays) // 2 :]
    return sum(nbytes(dtype, shape) for dtype, shape in arrays)


def _group(instruction: Instruction) -> int:
    """How many devices communicate with one another; 1 where the text does not say."""
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
    # Of an axis, all of it, or a part: 'axis_1':(2)4 is 4 of it.
    return (int(part) if part else sizes[name] for name, _, part in axes)

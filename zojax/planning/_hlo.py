"""Parses a compiled program's text: its computations, its loops, and how often each runs."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

from zojax.planning._trips import counted_trips

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*->.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
_CALLED = re.compile(
    r"(?:calls|body|condition|to_apply|branch_computations|called_computations|"
    r"true_computation|false_computation)=(?:\{([^}]*)\}|%?([\w.\-]+))"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_BODY = re.compile(r"\bbody=%?([\w.\-]+)")
_SHAPE = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_BITS = re.compile(r"^(?:[su]|bf|f|c)(\d+)")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    type: str  # as printed: bf16[4,64]{1,0}, or a tuple of these
    opcode: str
    rest: str  # the operands and what follows them

    @property
    def called(self) -> list[str]:
        """Names of the computations that it calls."""
        found: list[str] = []
        for several, one in _CALLED.findall(self.rest):
            found += [name.strip().lstrip("%") for name in several.split(",")] if several else [one]
        return found


@dataclasses.dataclass(frozen=True)
class Loop:
    """One ``while`` instruction of the program."""

    body: str  # name of the body's computation
    trips: int | None  # trip count; None if it is not known
    times: int  # how often the program executes the entire loop


@dataclasses.dataclass(frozen=True)
class Program:
    """The computations of a module in text form, by name."""

    entry: str
    lines: dict[str, list[str]]  # header first, then one line per instruction

    @functools.cached_property
    def computations(self) -> dict[str, list[Instruction]]:
        """The instructions of each computation."""
        return {name: list(_instructions(lines[1:])) for name, lines in self.lines.items()}

    def runs(self) -> Iterator[tuple[str, int]]:
        """Yield each computation that the entry calls, and how often it runs.

        A computation is yielded once for every place that calls it. Computations inside fusions are
        left out. Loops of unknown trip count count as one trip.
        """
        pending = [(self.entry, 1)]
        while pending:
            name, times = pending.pop()
            yield name, times
            for instruction in self.computations[name]:
                if instruction.opcode == "fusion":
                    continue
                loops = instruction.opcode == "while"
                trips = (self._trips(name, instruction) or 1) if loops else 1
                pending += [(called, times * trips) for called in instruction.called]

    def loops(self) -> list[Loop]:
        """Return every loop that is executed."""
        found: list[Loop] = []
        for name, times in self.runs():
            for instruction in self.computations[name]:
                body = _BODY.search(instruction.rest) if instruction.opcode == "while" else None
                if body:
                    found.append(Loop(body[1], self._trips(name, instruction), times))
        return found

    def _trips(self, caller: str, loop: Instruction) -> int | None:
        """The trip count that the compiler prints, or that the loop's own constants give."""
        printed = _TRIPS.search(loop.rest)
        return int(printed[1]) if printed else counted_trips(self.computations, caller, loop)

    def text(self, entry: str) -> str:
        """Return a module whose entry is the computation ``entry``, with all that it calls."""
        needed: dict[str, None] = {}
        pending = [entry]
        while pending:
            name = pending.pop()
            # The order of last mention is kept: a computation is printed before its callers.
            needed.pop(name, None)
            needed[name] = None
            for instruction in self.computations[name]:
                pending += instruction.called
        parts = ["HloModule part"]
        for name in reversed(needed):
            header, *body = self.lines[name]
            header = header.removeprefix("ENTRY ")
            parts.append("\n".join(["ENTRY " + header if name == entry else header, *body, "}"]))
        return "\n\n".join(parts)


def parse(text: str) -> Program:
    """Parse ``compiled.as_text()``.

    Raises:
      ValueError: The text has no entry computation.
    """
    entry, current = None, None
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        if current is None:
            header = _HEADER.match(line)
            if header:
                current = lines.setdefault(header[2], [line])
                entry = header[2] if header[1] else entry
        elif line.startswith("}"):
            current = None
        else:
            current.append(line)
    if entry is None:
        raise ValueError("parse: the text has no entry computation.")
    return Program(entry, lines)


def shapes(type_text: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return the dtype and dimensions of each array in a printed type."""
    return [
        (dtype, tuple(int(size) for size in sizes.split(",") if size))
        for dtype, sizes in _SHAPE.findall(type_text)
    ]


def nbytes(dtype: str, dimensions: tuple[int, ...]) -> int:
    """Return the bytes of an array; 0 for a token type."""
    bits = _BITS.match(dtype)
    width = int(bits[1]) if bits else 8 * (dtype == "pred")
    return math.prod(dimensions) * width // 8


def _instructions(lines: list[str]) -> Iterator[Instruction]:
    for line in lines:
        found = _INSTRUCTION.match(line)
        if found:
            yield Instruction(*found.groups())

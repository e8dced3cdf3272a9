"""How often a loop runs whose compiler does not print it: that of TPUs does not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

_OPERANDS = re.compile(r"%([\w.\-]+)")
_INDEX = re.compile(r"\bindex=(\d+)")
_NUMBER = re.compile(r"^(-?\d+)\)")
_CONDITION, _BODY = (re.compile(rf"\b{name}=%?([\w.\-]+)") for name in ("condition", "body"))
_SAME = ("copy", "bitcast", "reshape")  # operations that return the scalar they are given


class Line(Protocol):
    """One line of a computation; see :class:`zojax.planning._hlo.Instruction`."""

    @property
    def name(self) -> str: ...
    @property
    def opcode(self) -> str: ...
    @property
    def rest(self) -> str: ...


Computations = Mapping[str, Sequence[Line]]


def counted_trips(computations: Computations, caller: str, loop: Line) -> int | None:
    """Count the trips of a ``while`` that counts from a constant to a constant, as a scan does.

    Args:
      computations: The instructions of each computation, the root last.
      caller: The computation that has the loop.
      loop: The ``while`` instruction.

    Returns:
      The trip count; None if the loop does not count, or not by constants.
    """
    condition, body = _CONDITION.search(loop.rest), _BODY.search(loop.rest)
    if condition is None or body is None:
        return None
    test, step = (computations.get(found[1], ()) for found in (condition, body))
    if not test or not step or test[-1].opcode != "compare" or "direction=LT" not in test[-1].rest:
        return None
    counter, end = (_resolved(test, name) for name in _operands(test[-1])[:2])
    place = _place(counter)
    limit = _constant(end)
    if place is None or limit is None:
        return None
    start = _constant(_element(computations[caller], _operands(loop)[0], place))
    stride = _stride(step, place)
    if start is None or stride is None or stride < 1:
        return None
    return max(0, -(-(limit - start) // stride))


def _stride(body: Sequence[Line], place: int) -> int | None:
    """What a trip adds to the element ``place`` of the loop's tuple, if that is a constant."""
    added = _element(body, body[-1].name, place)
    if added is None or added.opcode != "add":
        return None
    one, other = (_resolved(body, name) for name in _operands(added)[:2])
    if _place(one) != place:
        one, other = other, one
    return _constant(other) if _place(one) == place else None


def _operands(line: Line) -> list[str]:
    return _OPERANDS.findall(line.rest.split(")", 1)[0])


def _resolved(computation: Sequence[Line], name: str) -> Line | None:
    """The instruction of this name, or the one whose result it copies."""
    line = next((line for line in computation if line.name == name), None)
    if line is not None and line.opcode in _SAME:
        return _resolved(computation, _operands(line)[0])
    return line


def _element(computation: Sequence[Line], name: str, place: int) -> Line | None:
    """An element of the tuple of this name."""
    line = _resolved(computation, name)
    if line is None or line.opcode != "tuple":
        return None
    return _resolved(computation, _operands(line)[place])


def _place(line: Line | None) -> int | None:
    """The number of the element that is taken of a tuple."""
    if line is None or line.opcode != "get-tuple-element":
        return None
    found = _INDEX.search(line.rest)
    return int(found[1]) if found else None


def _constant(line: Line | None) -> int | None:
    found = _NUMBER.match(line.rest) if line is not None and line.opcode == "constant" else None
    return int(found[1]) if found else None

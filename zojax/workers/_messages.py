"""What a crew and its workers say to each other, and what carries it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from zojax.asking import PointData


class Request(NamedTuple):
    """Points of a step to evaluate. All of it is plain numbers and bytes."""

    step: int  # of the points
    first: int  # the step of the first record
    records: bytes  # float32, little-endian: the records of the steps first … step - 1
    points: Sequence[PointData]


class Reply(NamedTuple):
    """The losses that a worker found."""

    worker: int
    step: int
    losses: Sequence[tuple[PointData, float]]
    note: str = ""  # JSON that the job adds: see :class:`zojax.workers.Job`


class Died(NamedTuple):
    """A worker is gone, with all that it was asked."""

    worker: int
    why: str


class Failed(NamedTuple):
    """A worker's job raised an error."""

    worker: int
    why: str


Event: TypeAlias = Reply | Died | Failed


class Transport(Protocol):
    """Starts workers and carries messages. A worker answers its requests one after the other."""

    def start(self) -> int:
        """Start a worker; its number, which no earlier worker had."""
        ...

    def stop(self, worker: int) -> None:
        """End a worker, of which nothing is received any more."""

    def send(self, worker: int, request: Request) -> None:
        """Send a request to a worker, which may be dead already."""

    def receive(self, seconds: float | None) -> list[Event]:
        """What has happened since the last call.

        Args:
          seconds: How long to wait for something to happen; None waits for ever.
        """
        ...

    def now(self) -> float:
        """Seconds on a clock that does not go back."""
        ...

    def close(self) -> None:
        """End all workers."""

"""The workers of a crew: who holds which points, who is late, and who takes a dead one's place."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from zojax.asking import PointData
from zojax.workers._messages import Reply, Request, Transport

# Time limits that a worker may be silent, and workers that may be lost in a row.
MOST_LIMITS, MOST_LOST = 3, 10


@dataclass
class Member:
    """What the crew knows of a worker."""

    known: int = 0  # steps whose records it has
    ready: bool = False  # whether it has ever answered
    since: float | None = None  # when it was asked what it has not answered; None: it is idle
    held: list[PointData] = field(default_factory=list[PointData])  # of the step that is taken


class Members:
    """The workers, and the records that they follow.

    Args:
      transport: Starts them, and carries what is said.
      seconds: The time limit of a step, or None.
      start_seconds: How long one may take for its first answer.
      records: Of the steps taken so far.
    """

    def __init__(
        self,
        transport: Transport,
        seconds: float | None,
        start_seconds: float,
        records: list[np.ndarray],
    ) -> None:
        self.transport, self.records = transport, records
        self._start_seconds = start_seconds
        self._silent_seconds = math.inf if seconds is None else MOST_LIMITS * seconds
        self._members: dict[int, Member] = {}
        self._queue: deque[PointData] = deque()  # points of the step that nobody holds
        self._lost_in_a_row = 0

    def add(self) -> None:
        """Start a worker."""
        self._members[self.transport.start()] = Member()

    def begin(self, points: Iterable[PointData]) -> None:
        """Begin a step."""
        self._queue = deque(points)

    @property
    def any_ready(self) -> bool:
        """Whether any worker has shown that it answers."""
        return any(member.ready for member in self._members.values())

    def hand_out(self, step: int, missing: list[PointData]) -> None:
        """Give points to those who are idle."""
        idle = {n: m for n, m in self._members.items() if m.since is None}
        ready = [number for number, member in idle.items() if member.ready]
        for place, number in enumerate(ready):
            share = -(-len(self._queue) // (len(ready) - place))
            self._send(number, step, [self._queue.popleft() for _ in range(share)])
        # What a worker holds that has yet to show that it works, one that is idle may do as well.
        waiting = {p for m in self._starting().values() for p in m.held}
        unsure = [p for p in missing if p in waiting]
        for number in (n for n in ready if self._members[n].since is None):
            self._send(number, step, [unsure.pop(0)] if unsure else [])
        for number in idle.keys() - {*ready}:
            self._send(number, step, [self._queue.popleft() if self._queue else missing[0]])

    def _send(self, worker: int, step: int, points: list[PointData]) -> None:
        if not points:
            return
        member = self._members[worker]
        records = np.asarray(self.records[member.known :], np.dtype("<f4")).tobytes()
        member.since, member.held = self.transport.now(), points
        self.transport.send(worker, Request(step, member.known, records, points))
        member.known = step

    def answered(self, reply: Reply) -> None:
        """Note that a worker has answered, and is idle."""
        member = self._members.get(reply.worker)
        if member is not None:
            member.since, member.held, member.ready = None, [], True
            self._lost_in_a_row = 0

    def replace(self, worker: int, done: Iterable[PointData], why: str) -> None:
        """Start a worker in the place of one that is lost, and hand its points out again.

        Raises:
          RuntimeError: Too many were lost in a row.
        """
        member = self._members.pop(worker)
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= MOST_LOST:
            raise RuntimeError(
                f"Crew: {MOST_LOST} workers were lost, one after the other, and none has answered; "
                f"the last: {why}. See that a worker can load the model where it runs."
            )
        others = {*done, *self._queue, *(p for m in self._members.values() for p in m.held)}
        self._queue.extendleft(p for p in reversed(member.held) if p not in others)
        self.add()

    def start_ends(self) -> float:
        """When the first of those that start is too late; inf where none does."""
        since = [m.since for m in self._starting().values() if m.since is not None]
        return min(since, default=math.inf) + self._start_seconds

    def replace_late_starters(self, done: Iterable[PointData]) -> int:
        """Replace those whose first answer does not come; how many."""
        now = self.transport.now()
        late = [
            number
            for number, member in self._starting().items()
            if member.since is not None and now >= member.since + self._start_seconds
        ]
        for number in late:
            self.transport.stop(number)
            self.replace(number, done, f"no answer in {self._start_seconds:g} seconds")
        return len(late)

    def end(self) -> int:
        """End a step, and replace those who are silent for too long; how many."""
        self._queue.clear()
        for member in self._members.values():
            member.held = []
        before = self.transport.now() - self._silent_seconds
        silent = [
            number
            for number, member in self._members.items()
            if member.ready and member.since is not None and member.since <= before
        ]
        for number in silent:
            self.transport.stop(number)
            self.replace(number, (), f"silent for {self._silent_seconds:g} seconds")
        return len(silent)

    def _starting(self) -> dict[int, Member]:
        return {n: m for n, m in self._members.items() if not m.ready and m.since is not None}

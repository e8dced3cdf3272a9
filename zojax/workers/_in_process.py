"""Workers in this process, one after the other, on a clock of their own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from zojax.workers._job import Job
from zojax.workers._messages import Died, Event, Failed, Reply, Request
from zojax.workers._worker import Worker


class WorkerDiedError(Exception):
    """Raised where a worker passes, it dies there."""


class InProcess:
    """Workers of which one after the other answers, in turn: for tests, and to try a job.

    Nothing happens at the same time, so a run is the same each time. Time is counted and not
    waited for: an answer takes a second.

    Args:
      make: Makes a worker's job.
      passing: ``passing(worker, place)`` is called where an answer passes; it may raise
        :class:`InProcess.Death`, and the worker dies there.
      slowness: ``slowness(worker)``: the seconds that an answer of a worker takes; inf for one that
        is silent.
    """

    Death = WorkerDiedError

    def __init__(
        self,
        make: Callable[[], Job],
        *,
        passing: Callable[[int, str], None] | None = None,
        slowness: Callable[[int], float] | None = None,
    ) -> None:
        self._make, self._passing, self._slowness = make, passing, slowness
        self._numbers = itertools.count()
        self._workers: dict[int, Worker | None] = {}
        self._waiting: deque[tuple[float, int, Request]] = deque()
        self._now = 0.0

    def start(self) -> int:
        number = next(self._numbers)
        self._workers[number] = None  # made when it is first asked
        return number

    def stop(self, worker: int) -> None:
        gone = self._workers.pop(worker, None)
        if gone is not None:
            gone.close()

    def send(self, worker: int, request: Request) -> None:
        seconds = 1.0 if self._slowness is None else self._slowness(worker)
        self._waiting.append((self._now + seconds, worker, request))

    def receive(self, seconds: float | None) -> list[Event]:
        self._waiting = deque(item for item in self._waiting if item[1] in self._workers)
        due = min(self._waiting, key=lambda item: item[0], default=None)
        until = float("inf") if seconds is None else self._now + seconds
        if due is None or due[0] > until or due[0] == float("inf"):
            if until == float("inf"):
                raise RuntimeError("InProcess: no worker will ever answer, and there is no limit.")
            self._now = until
            return []
        self._waiting.remove(due)
        self._now, worker, request = max(self._now, due[0]), due[1], due[2]
        try:
            losses, note = self._of(worker).answer(request)
            reply = Reply(worker, request.step, losses, note)
            self._pass(worker, "replying")
        except WorkerDiedError as death:
            self.stop(worker)
            return [Died(worker, str(death))]
        except Exception as error:
            return [Failed(worker, f"{type(error).__name__}: {error}")]
        try:
            self._pass(worker, "replied")
        except WorkerDiedError as death:  # what it said has arrived
            self.stop(worker)
            return [reply, Died(worker, str(death))]
        return [reply]

    def now(self) -> float:
        return self._now

    def close(self) -> None:
        for worker in [*self._workers]:
            self.stop(worker)

    def _of(self, number: int) -> Worker:
        worker = self._workers[number]
        if worker is None:
            self._pass(number, "starting")
            passing = lambda place: self._pass(number, place)  # noqa: E731
            worker = Worker(self._make()._replace(passing=passing))
            self._workers[number] = worker
        return worker

    def _pass(self, worker: int, place: str) -> None:
        if self._passing is not None:
            self._passing(worker, place)

"""Processes that score completions, each within a time limit."""

from __future__ import annotations

import collections
import dataclasses
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from zojax.lm.rewards._process import Said, WorkerProcess
from zojax.lm.rewards._source import Source

_LOAD_SECONDS = 300.0
_MOST_PROCESSES = 16


class RewardError(ValueError):
    """A reward that cannot be loaded, or not any more."""


class Score(NamedTuple):
    """What a reward says of a completion."""

    value: float | None  # finite; None where the reward has failed
    problem: str = ""  # why, else empty


@dataclasses.dataclass
class _Work:
    """What a process is busy with."""

    places: tuple[int, ...]  # of the completions that it scores; none while it loads
    until: float  # the end of its time, by time.monotonic


class RewardPool:
    """Runs a reward of another file in processes of its own, spawned and not forked.

    A process that takes too long is killed, with all that it has started, and one that has died is
    replaced; its completions have failed. Used as a context manager, or closed.

    Args:
      where: The beginning of the message of an error.
      source: The reward.
      seconds: The time limit of a call; of one for several completions, for each of them.
      processes: Most processes; None for as many as there are cores.

    Raises:
      RewardError: The reward cannot be loaded.
    """

    def __init__(
        self, where: str, source: Source, *, seconds: float, processes: int | None = None
    ) -> None:
        self._where, self._source, self._seconds = where, source, seconds
        self._most = min(_MOST_PROCESSES, processes or _cores())
        if source.processes is not None:
            self._most = min(self._most, source.processes)
        self._heard: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._busy: dict[WorkerProcess, _Work | None] = {}
        self._batched = False
        # Devices that share a step may ask at the same time.
        self._lock = threading.Lock()
        self._start()
        try:
            while not all(work is None for work in self._busy.values()):
                self._hear([])
        except BaseException:
            self.close()
            raise

    def score(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Score]:
        """Score completions of rows, in their order.

        Raises:
          RewardError: A process that is to replace another one cannot load the reward.
        """
        with self._lock:
            found: list[Score | None] = [None] * len(completions)
            every = tuple(range(len(completions)))
            # A function of all completions gets them at once.
            waiting = collections.deque([every] if self._batched else [(i,) for i in every])
            if not completions:
                return []
            while any(score is None for score in found):
                self._share_out(waiting, completions, rows)
                self._hear(found)
            return [score for score in found if score is not None]

    def close(self) -> None:
        """End all processes."""
        for process in [*self._busy]:
            del self._busy[process]
            process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self) -> None:
        process = WorkerProcess(self._source.as_json(), self._heard)
        self._busy[process] = _Work((), time.monotonic() + _LOAD_SECONDS)

    def _share_out(
        self,
        waiting: collections.deque[tuple[int, ...]],
        completions: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        for process, work in self._busy.items():
            if work is None and waiting:
                places = waiting.popleft()
                limit = self._seconds * len(places)
                self._busy[process] = _Work(places, time.monotonic() + limit)
                process.send(
                    {
                        "completions": [completions[i] for i in places],
                        "rows": [dict(rows[i]) for i in places],
                    }
                )
        loading = sum(work is not None and not work.places for work in self._busy.values())
        for _ in range(min(len(waiting) - loading, self._most - len(self._busy))):
            self._start()

    def _hear(self, found: list[Score | None]) -> None:
        """Wait for an answer, or for the end of a time limit."""
        ends = [work.until for work in self._busy.values() if work is not None]
        try:
            said = self._heard.get(timeout=max(0.0, min(ends) - time.monotonic()))
        except queue.Empty:
            self._end_late(found)
            return
        if said.process not in self._busy:
            return  # the last words of one that was killed
        work = self._busy[said.process]
        if said.answer is None:
            self._gone(said.process, said.process.ending, found)
        elif work is not None and not work.places:
            if "error" in said.answer:
                self._refuse(said.answer["error"])
            self._batched = said.answer["batched"]
            self._busy[said.process] = None
        elif work is not None:
            for place, score in zip(work.places, said.answer["scores"], strict=True):
                found[place] = Score(score.get("score"), score.get("error", ""))
            self._busy[said.process] = None

    def _end_late(self, found: list[Score | None]) -> None:
        now = time.monotonic()
        late = [each for each, work in self._busy.items() if work and work.until <= now]
        for process in late:
            process.kill()
            self._gone(process, f"took longer than {self._seconds:g} s", found)

    def _gone(self, process: WorkerProcess, how: str, found: list[Score | None]) -> None:
        """Note what a process has not done that is there no more; another one takes its place."""
        work = self._busy.pop(process)
        process.kill()
        if work is not None and not work.places:
            self._refuse(how)
        for place in () if work is None else work.places:
            found[place] = Score(None, how)

    def _refuse(self, why: str) -> None:
        source = self._source
        raise RewardError(
            f"{self._where}: reward {source.name} of {source.path or source.module} must be one "
            f"that can be loaded, got an error: {why}."
        )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

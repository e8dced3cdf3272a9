"""A worker: it follows a run by its records, and evaluates points of its steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zojax.asking import PointData, ask_tell
from zojax.trajectory import Replayer
from zojax.workers._job import Job
from zojax.workers._messages import Request


class Worker:
    """Holds the parameters and the optimizer's state of the step that it is at.

    Args:
      job: What it works on; it takes the parameters over, and overwrites them.
    """

    def __init__(self, job: Job) -> None:
        self._loss, self._note, self._passing = job.loss, job.note, job.passing or (lambda _: None)
        self.close = job.close or (lambda: None)
        init, self._ask, _ = ask_tell(job.tx)
        self._params = job.params
        self._state = init(self._params)
        self._replayer = Replayer(job.tx)
        self._step = 0

    def answer(self, request: Request) -> tuple[Sequence[tuple[PointData, float]], str]:
        """Catch up with the step of a request, and evaluate its points.

        Returns:
          Each point with its loss, and the job's note.

        Raises:
          ValueError: The records do not continue where the worker is, or the step has no such
            point: the crew has another optimizer.
        """
        self._passing("received")
        self._catch_up(request)
        self._passing("caught up")
        points = {point.data: point for point in self._ask(self._state, self._params)}
        self._passing("points known")
        losses: list[tuple[PointData, float]] = []
        for data in request.points:
            if data not in points:
                raise ValueError(
                    f"worker: points must be of step {self._step}, got {data}; the first is "
                    f"{next(iter(points))}. Make the crew's optimizer and the workers' alike."
                )
            there = points[data].params(self._params)
            self._passing("point reached")
            losses.append((data, float(self._loss(there, request.step))))
            self._passing("point evaluated")
        note = "" if self._note is None else self._note(request.step)
        self._passing("answered")
        return losses, note

    def _catch_up(self, request: Request) -> None:
        if not request.first <= self._step <= request.step:
            raise ValueError(
                f"worker: records must continue from step {self._step}, got those of "
                f"{request.first} … {request.step - 1}."
            )
        behind = request.step - request.first
        if not behind:
            return
        rows = np.frombuffer(request.records, np.dtype("<f4")).reshape(behind, -1)
        for row in rows[self._step - request.first :]:
            self._passing("behind")
            self._params, self._state = self._replayer.take(self._params, self._state, row[None])
            self._step += 1

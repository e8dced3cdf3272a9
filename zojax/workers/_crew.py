"""The crew: hands out the points of a step, and takes the step with what comes back."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import optax

from zojax import _check
from zojax._types import Params
from zojax.asking import PointData, StepLog, ask_tell
from zojax.trajectory import LogDtype, Recorder
from zojax.workers._members import Members
from zojax.workers._messages import Died, Failed, Transport


class StepReport(NamedTuple):
    """How a step went."""

    step: int
    losses: dict[PointData, float]  # those that came in time
    left_out: tuple[PointData, ...]  # points without a loss
    replaced: int  # workers that died or were given up, and are replaced
    notes: tuple[str, ...]  # of the workers' jobs


class Crew:
    """Takes the steps of an optimizer with losses that workers evaluate.

    ``params, state, report = crew.step(params, state)`` is a step of ``tx``. With the same losses
    it has the bits of one in a single process; which worker found a loss, and when, does not
    matter.

    - A worker that dies is replaced, its points are handed out again, and the new worker replays
      the run's records.
    - A worker is handed points once it has answered its first, which it compiles for.
    - After ``seconds`` a step is taken without the losses that have not come: their queries are
      left out. What comes later is ignored. A worker that is silent three times as long is
      replaced.
    - :meth:`add` adds workers, at any step.

    Args:
      tx: The optimizer; that of the workers' jobs.
      transport: Where workers run: :class:`zojax.workers.RayWorkers`.
      workers: How many, at first.
      seconds: The time limit of a step, from when its points are handed out to a worker that has
        answered before; None waits for all losses.
      start_seconds: How long a new worker may take for its first answer: it loads the model,
        replays the run and compiles.
      records: float32 [n, k]: the records of the n steps that were taken before, as
        ``read_log(...).scalars`` has them, from the parameters that the jobs start from.
      dtype: The dtype of the log's slopes, in which they are used.
      donate: Whether a step may overwrite the parameters and the state that it gets.
      log: Where each step's record is appended before the step is known to anyone: a
        :class:`zojax.trajectory.LogWriter`, which must have those n.

    Cost: a step: one update here and one in each worker; as many losses as points, over the
      workers, each on a perturbed copy of the parameters. The records of all steps are held, four
      bytes a slope.

    Raises:
      ValueError: A number is out of range, or, by :meth:`step`, the state is at another step than
        the records.
      RuntimeError: By :meth:`step`: a job raised an error, or ten workers died, one after the
        other, before any has answered.

    Examples:
      >>> import jax.numpy as jnp, zojax, zojax.workers
      >>> def make():
      ...     tx = zojax.es(0.1, eps=1e-2, key=0, population=8)
      ...     return zojax.workers.Job(tx, {"w": jnp.ones(3)}, lambda p, step: (p["w"] ** 2).sum())
      >>> tx, params, *_ = make()
      >>> state = tx.init(params)
      >>> with zojax.workers.Crew(tx, zojax.workers.InProcess(make), workers=2) as crew:
      ...     for _ in range(20):
      ...         params, state, report = crew.step(params, state)
      >>> report.step, len(report.losses), report.left_out
      (19, 8, ())
    """

    def __init__(
        self,
        tx: optax.GradientTransformation,
        transport: Transport,
        *,
        workers: int,
        seconds: float | None = None,
        start_seconds: float = 1800.0,
        records: np.ndarray | None = None,
        dtype: LogDtype = "float32",
        donate: bool = False,
        log: StepLog | None = None,
    ) -> None:
        _check.count("Crew", "workers", workers)
        for name, limit in (("seconds", seconds), ("start_seconds", start_seconds)):
            if limit is not None:
                _check.positive("Crew", name, limit)
        self._asking = ask_tell(tx, donate=donate)
        self._seconds, self._dtype, self._log = seconds, dtype, log
        taken: list[np.ndarray] = [] if records is None else [*records]
        self._members = Members(transport, seconds, start_seconds, taken)
        self._records, self._transport = taken, transport
        self.add(workers)

    def add(self, workers: int = 1) -> None:
        """Start workers, which answer once they have replayed the run."""
        for _ in range(workers):
            self._members.add()

    def close(self) -> None:
        """End all workers."""
        self._transport.close()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def last_record(self) -> np.ndarray:
        """float32 [k]: the record of the last step."""
        return self._records[-1]

    # StepLog: a step's record is kept for the workers, and written into the log.
    def recorder(self) -> Recorder:
        """A new recorder of a step."""
        return Recorder(self._dtype)

    def append(self, scalars: np.ndarray) -> None:
        """Keep the record of the next step."""
        if self._log is not None:
            self._log.append(scalars)
        self._records.append(scalars)

    def step(self, params: Params, state: Any) -> tuple[Params, Any, StepReport]:
        """Take a step.

        Args:
          params: The parameters.
          state: The optimizer's state.

        Returns:
          Both after the step, and how it went.
        """
        points = [point.data for point in self._asking.ask(state, params)]
        if points[0][0] != len(self._records):
            raise ValueError(
                f"Crew: state must be at step {len(self._records)}, which the records lead to, got "
                f"one at step {points[0][0]}. Give the records of all steps before."
            )
        losses, notes, replaced = self._evaluated(points)
        params, state = self._asking.tell(state, params, losses, log=self)
        left_out = tuple(point for point in points if point not in losses)
        return params, state, StepReport(points[0][0], losses, left_out, replaced, tuple(notes))

    def _evaluated(self, points: list[PointData]) -> tuple[dict[PointData, float], list[str], int]:
        """The losses of a step's points that come in time, the notes, and the workers replaced."""
        members, transport, step = self._members, self._transport, points[0][0]
        losses: dict[PointData, float] = {}
        notes: list[str] = []
        replaced, end = 0, math.inf
        members.begin(points)
        while len(losses) < len(points) and transport.now() < end:
            members.hand_out(step, [p for p in points if p not in losses])
            if self._seconds is not None and end == math.inf and members.any_ready:
                end = transport.now() + self._seconds
            until = min(end, members.start_ends())
            wait = None if until == math.inf else max(until - transport.now(), 0.0)
            for event in transport.receive(wait):
                if isinstance(event, Failed):
                    raise RuntimeError(  # noqa: TRY004 - the event is right, the job is not
                        f"Crew: the job of worker {event.worker} raised {event.why}"
                    )
                if isinstance(event, Died):
                    members.replace(event.worker, losses, event.why)
                    replaced += 1
                    continue
                members.answered(event)
                # Of a point that two have evaluated the first counts.
                new = {p: x for p, x in event.losses if event.step == step and p not in losses}
                losses |= new
                notes += [event.note] if new and event.note else []
            replaced += members.replace_late_starters(losses)
        return losses, notes, replaced + members.end()

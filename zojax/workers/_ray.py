"""Workers under Ray."""

from __future__ import annotations

import importlib
import itertools
import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

from zojax.workers._job import Make, make_job
from zojax.workers._messages import Died, Event, Failed, Reply, Request
from zojax.workers._worker import Worker


class RayWorkers:
    """Workers that are actors of Ray, on the machines of its cluster.

    The cluster is the one that ``ray.init`` has connected to, or the one in the environment's
    ``RAY_ADDRESS``; without either, one is started on this machine and ended by :meth:`close`.
    zojax, and the module that makes the job, must be installed where a
    worker runs.

    Args:
      make: Where a worker finds its job.
      options: Options of the actors, such as ``{"num_gpus": 1, "num_cpus": 4}``; by default one CPU
        each.
      local_cpus: How many CPUs a cluster that is started here says it has; None for this machine's.
        Ray starts no more workers than they allow.

    Cost: a message of a few bytes a point and record; every worker has the parameters and the
      optimizer's state once, and a copy at the point that it evaluates.

    Raises:
      ImportError: Ray is not installed: ``pip install "zojax[ray]"``.
    """

    def __init__(
        self,
        make: Make,
        options: Mapping[str, Any] | None = None,
        *,
        local_cpus: int | None = None,
    ) -> None:
        self._ray = ray = _import_ray()
        self._starts_ray = not ray.is_initialized()
        if self._starts_ray:
            with warnings.catch_warnings():
                # JAX warns of a fork, after which Ray runs its own programs, without JAX.
                warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
                if os.environ.get("RAY_ADDRESS"):  # a cluster that is there
                    ray.init(log_to_driver=False, configure_logging=False)
                else:
                    ray.init(
                        num_cpus=local_cpus,
                        include_dashboard=False,
                        log_to_driver=False,
                        configure_logging=False,
                    )
        # A worker that dies is replaced by one of another number, which is behind: never restarted.
        given = {"num_cpus": 1, **(options or {}), "max_restarts": 0, "max_task_retries": 0}
        self._actor = ray.remote(_Actor).options(**given)
        self._make, self._numbers = make, itertools.count()
        self._actors: dict[int, Any] = {}
        self._asked: dict[Any, int] = {}  # the worker of each answer that is waited for

    def start(self) -> int:
        number = next(self._numbers)
        self._actors[number] = self._actor.remote(tuple(self._make))
        return number

    def stop(self, worker: int) -> None:
        actor = self._actors.pop(worker, None)
        if actor is not None:
            self._ray.kill(actor)
        self._asked = {ref: number for ref, number in self._asked.items() if number != worker}

    def send(self, worker: int, request: Request) -> None:
        self._asked[self._actors[worker].answer.remote(tuple(request))] = worker

    def receive(self, seconds: float | None) -> list[Event]:
        if not self._asked:
            time.sleep(min(seconds or 0.0, 0.1))
            return []
        refs = [*self._asked]
        ready, _ = self._ray.wait(refs, num_returns=1, timeout=seconds)
        more, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0) if ready else ([], None)
        return [self._event(ref) for ref in dict.fromkeys([*ready, *more]) if ref in self._asked]

    def _event(self, ref: Any) -> Event:
        worker = self._asked.pop(ref)
        errors = self._ray.exceptions
        try:
            step, losses, note = self._ray.get(ref)
        except errors.RayTaskError as error:
            return Failed(worker, str(error.cause))
        except errors.RayError as error:
            self.stop(worker)
            return Died(worker, type(error).__name__)
        return Reply(worker, step, losses, note)

    def now(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        for worker in [*self._actors]:
            self.stop(worker)
        if self._starts_ray:
            self._ray.shutdown()


class _Actor:
    """A worker's process."""

    def __init__(self, make: tuple[str, Mapping[str, Any]]) -> None:
        self._make = Make(*make)
        self._worker: Worker | None = None

    def answer(self, request: tuple[Any, ...]) -> tuple[int, Any, str]:
        if self._worker is None:  # here, so that what it raises is told
            self._worker = Worker(make_job(self._make))
        asked = Request(*request)
        return asked.step, *self._worker.answer(asked)


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ImportError(
            f'RayWorkers: ray must be installed, got {error}. pip install "zojax[ray]".'
        ) from error

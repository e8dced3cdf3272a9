"""A run's steps with workers: each loads the model, and evaluates points of the run's batches."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import zojax
from zojax.lm.models import Params
from zojax.lm.rewards import RewardTask, StepRewards
from zojax.lm.settings import FinetuneConfig
from zojax.lm.training._data import Data, load_data, prepare
from zojax.lm.training._observer import Observer
from zojax.lm.training._optimizer import Optimizer, optimizer_of
from zojax.lm.training._options import from_json
from zojax.lm.training._program import batch_loss, batches_of
from zojax.lm.training._reader import NonFiniteLossError
from zojax.lm.training._run_folder import LOG, as_json
from zojax.lm.training._start_files import read_start
from zojax.lm.training._step import Outcome
from zojax.lm.training._tuned import load_to_tune
from zojax.trajectory import read_log
from zojax.workers import Crew, Job, Make, RayWorkers, Transport

# A worker finds the run's files by the paths of its configuration, on a file system that all share.
_JOB = f"{__name__}:job_of_run"


def job_of_run(config: Mapping[str, Any], folder: str) -> Job:
    """Make a worker's job: load the data and the model of a run, as the run itself does.

    Args:
      config: The run's configuration as JSON, resolved, with its learning rate.
      folder: The run's folder, which has the head or the bias that it started with.
    """
    settings = from_json(config, f"the configuration of {folder}")
    prepared = prepare(settings)
    tuned = load_to_tune(settings)
    start = read_start(Path(folder))
    if start is not None:
        tuned = tuned.starting(start[1])
    data = load_data(prepared, tuned.model)
    size = min(settings.batch_size, len(data.train))
    compiled = jax.jit(batch_loss(settings, data, size), compiler_options=zojax.compiler_options())
    current: dict[int, Any] = {}

    def loss(params: Params, step: int) -> Any:
        if step not in current:
            current.clear()
            current[step] = next(batches_of(data, size, settings.seed, start=step))
        return compiled(params, current[step])

    task = data.task
    note = _note_of(task) if isinstance(task, RewardTask) else None
    tx = optimizer_of(prepared.config, tuned).tx
    return Job(tx, tuned.model.params, loss, note, prepared.close)  # pyright: ignore[reportArgumentType] - a tree


def _note_of(task: RewardTask) -> Callable[[int], str]:
    """The rewards of what a worker has written, as a note; they are counted from step 1."""

    def note(step: int) -> str:
        found = task.steps.pop(step + 1, None)
        return "" if found is None else found.as_json(task.scorer)

    return note


class CrewStep:
    """A run's step, ``(params, state, batch) -> (params, state, outcome)``, of a crew.

    Args:
      crew: The workers.
      config: The run's configuration.
      data: The run's data; a task with a reward gets what the workers note of it.
    """

    def __init__(self, crew: Crew, config: FinetuneConfig, data: Data) -> None:
        self._crew, self._config, self._data = crew, config, data

    def __call__(self, params: Params, state: Any, batch: Any) -> tuple[Params, Any, Outcome]:
        """Take a step; workers know its batch by themselves.

        Raises:
          NonFiniteLossError: A loss is not finite, and the run stops there.
        """
        del batch
        moved, state, report = self._crew.step(params, state)  # pyright: ignore[reportArgumentType]
        losses, task = np.array([*report.losses.values()], np.float32), self._data.task
        if isinstance(task, RewardTask):
            notes = [note for note in report.notes if note]
            task.steps[report.step + 1] = StepRewards.of_json(notes, task.scorer)
            losses = losses[np.isfinite(losses)]
        elif self._config.non_finite == "stop" and not np.isfinite(losses).all():
            raise NonFiniteLossError(
                f"train: a worker's loss must be finite, got {losses[~np.isfinite(losses)][0]} at "
                f"step {report.step + 1}. Lower the learning rate, or eps; in float16, try "
                'bfloat16; or skip such steps with non_finite="skip".'
            )
        mean = np.mean(losses) if losses.size else np.float32(np.nan)
        outcome = Outcome(mean, self._crew.last_record)  # pyright: ignore[reportArgumentType]
        return moved, state, outcome  # pyright: ignore[reportReturnType]


@contextlib.contextmanager
def crew_step(
    config: FinetuneConfig,
    optimizer: Optimizer,
    data: Data,
    folder: Path,
    step: int,
    observer: Observer,
) -> Generator[CrewStep]:
    """Start a run's workers, and end them.

    Args:
      config: The run's configuration, resolved.
      optimizer: The run's optimizer.
      data: The run's data.
      folder: The run's folder, whose log has the steps that were taken before.
      step: How many these are.
      observer: Called with what goes on.
    """
    if jax.process_count() > 1:
        raise ValueError(
            f"finetune: workers must be for a run of one process, got {config.workers} and "
            f"{jax.process_count()} processes. Start it once: workers are its other processes."
        )
    records = read_log(folder / LOG, until=step).scalars
    observer.status(f"starting {config.workers} workers")
    make = Make(_JOB, {"config": as_json(config), "folder": str(folder)})
    with Crew(
        optimizer.tx,
        transport_of(config, make),
        workers=config.workers or 1,
        seconds=config.worker_seconds,
        records=records,
        dtype=config.slopes,
        donate=True,
    ) as crew:
        yield CrewStep(crew, config, data)


def transport_of(config: FinetuneConfig, make: Make) -> Transport:
    """Workers under Ray, a GPU for each where this process has one."""
    on_gpu = jax.default_backend() == "gpu"
    cores = max(os.cpu_count() or 1, config.workers or 1)
    return RayWorkers(make, {"num_gpus": 1} if on_gpu else {}, local_cpus=cores)

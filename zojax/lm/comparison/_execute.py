"""Makes the runs of a study that are not finished, in one process or several."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from zojax.lm.comparison._records import Records
from zojax.lm.comparison._runs import Record, Run
from zojax.lm.comparison._study import Cell, Study
from zojax.lm.tasks import PromptTokens
from zojax.lm.training import FinetuneConfig, Prepared, load_data, load_to_tune, prepare


class StudyObserver:
    """Callbacks that a study calls; they do nothing unless a subclass overrides them."""

    def status(self, message: str) -> None:
        """Called with a line that says what begins now."""

    def planned(self, study: Study, runs: int) -> None:
        """Called with the number of runs of the study."""

    def found(self, made: Sequence[tuple[Run, Record]]) -> None:
        """Called with those of the next runs that the records already contain."""

    def ended(self, run: Run, record: Record) -> None:
        """Called when a run has finished, with its record, which has been written."""

    def stopped(self) -> None:
        """Called when no more runs will be made."""


def check(study: Study, observer: StudyObserver | None = None) -> int:
    """Check the options, models, tasks and adapters of a study, so that every run can be made.

    Returns:
      The number of runs.

    Raises:
      ImportError, OSError, ValueError: A run cannot be made; the error is the one that it would
        raise.
    """
    observer = observer or StudyObserver()
    runs = 0
    configs: dict[tuple[str, ...], FinetuneConfig] = {}
    for cell in study.cells():
        candidates = _tuning(study, cell)
        runs += len(candidates) * (len(candidates) > 1) + len(_reporting(study, candidates[0]))
        of_cell = [run.config for run in candidates]  # of all of them, which checks their options
        for what in ((cell.model, cell.task), (cell.model, "with", cell.adapter)):
            configs.setdefault(what, of_cell[0])
    # What is wrong with the data of any task is said before a model is loaded.
    observer.status("reading the data")
    prepared = {what: _prepare(config) for what, config in configs.items()}
    for what, config in configs.items():
        observer.status(f"checking {' '.join(what)}")
        load_data(prepared[what], load_to_tune(config).model)
    return runs


def execute(study: Study, records: Records, observer: StudyObserver, jobs: int = 1) -> None:
    """Make all runs of a study that are not in ``records``.

    First all points of the grids are run with the tuning seed. Then the best point of each grid is
    run with the reporting seeds, one seed after another, so that the results of an interrupted
    study compare all methods.

    Args:
      study: A study that :func:`check` accepted.
      records: Each finished run is added to them.
      observer: Called with each run.
      jobs: Processes that make runs in parallel, each with its share of the cores.

    Raises:
      ValueError: ``jobs`` < 1.
    """
    if jobs < 1:
        raise ValueError(f"compare: jobs must be >= 1, got {jobs}.")
    cells = list(study.cells())
    with tempfile.TemporaryDirectory() as cache, _Pool(jobs, cache) as pool:
        tuning = {cell: _tuning(study, cell) for cell in cells}
        grids = [run for runs in tuning.values() if len(runs) > 1 for run in runs]
        _make(grids, records, observer, pool)
        chosen = [_reporting(study, best_of(runs, records)) for runs in tuning.values()]
        seeds = range(max(map(len, chosen)))
        by_seed = [runs[i] for i in seeds for runs in chosen if i < len(runs)]
        _make(by_seed, records, observer, pool)


def reported(study: Study, records: Records) -> dict[Cell, list[Record]]:
    """Return the records of each cell's reported runs that are finished."""
    found: dict[Cell, list[Record]] = {}
    for cell in study.cells():
        tuning = _tuning(study, cell)
        if len(tuning) == 1 or all(run.key in records for run in tuning):
            runs = _reporting(study, best_of(tuning, records))
            found[cell] = [records[run.key] for run in runs if run.key in records]
    return found


def best_of(runs: Sequence[Run], records: Records) -> Run:
    """Return the run with the best dev score; a single run need not be finished."""
    if len(runs) == 1:
        return runs[0]

    def quality(run: Run) -> tuple[float, float]:
        record = records[run.key]
        return record["dev"], -record.get("dev_loss", float("inf"))

    return max(runs, key=quality)


def _tuning(study: Study, cell: Cell) -> list[Run]:
    """Return the runs of the points of a cell's grid."""
    candidates = cell.candidates()
    varied = [name for name, value in candidates[0].items() if _varies(name, value, candidates)]
    return [
        Run(cell, "tune", options, {name: options[name] for name in varied}, study.tuning_seed)
        for options in candidates
    ]


def _varies(name: str, value: Any, candidates: Sequence[dict[str, Any]]) -> bool:
    return any(options[name] != value for options in candidates)


def _reporting(study: Study, chosen: Run) -> list[Run]:
    """Return the runs of a cell whose scores are reported."""
    # Zero-shot scores do not depend on the seed, and neither do the test examples: one run is
    # enough.
    seeds = study.seeds[:1] if chosen.cell.baseline == "zero-shot" else study.seeds
    return [Run(chosen.cell, "report", chosen.options, chosen.point, seed) for seed in seeds]


def _prepare(config: FinetuneConfig) -> Prepared:
    prepared = prepare(config)
    if not isinstance(prepared.tokens, PromptTokens):
        raise ValueError(  # noqa: TRY004 - the study's file, as for every other option
            "compare: tasks must have classes, choices or answers, to compare accuracy or F1, got "
            f"{config.data.train} with rows of another kind. Run finetune on it."
        )
    return prepared


class _Pool:
    """Makes runs, in this process or in others."""

    def __init__(self, jobs: int, cache: str) -> None:
        self._pool = None
        self._settings_before = {name: jax.config.values[name] for name in _cached_in(cache)}
        if jobs == 1:
            _configure(_cached_in(cache))
            return
        context = multiprocessing.get_context("spawn")
        number = context.Value("i", 0)
        self._pool = ProcessPoolExecutor(
            jobs, context, initializer=_start_worker, initargs=(number, jobs, cache)
        )

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is None:
            _configure(self._settings_before)
        else:
            self._pool.shutdown(cancel_futures=True)

    def measure(self, runs: Sequence[Run]) -> Iterator[tuple[Run, Record]]:
        """Yield each run with its record when it has finished."""
        if self._pool is None:
            yield from ((run, run.measure()) for run in runs)
            return
        futures = {self._pool.submit(Run.measure, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _start_worker(number: Any, jobs: int, cache: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with number.get_lock():
        place = number.value
        number.value += 1
    if hasattr(os, "sched_setaffinity"):  # XLA starts as many threads as the process has cores
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[place % jobs :: jobs] or cores)
    _configure(_cached_in(cache))


def _end_with_parent() -> None:
    """End this worker when the study's process ends: it would wait for further runs forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _cached_in(folder: str) -> dict[str, Any]:
    """Settings of JAX that cache all compiled programs in ``folder``; a grid's runs share most."""
    return {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }


def _configure(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def _make(runs: Sequence[Run], records: Records, observer: StudyObserver, pool: _Pool) -> None:
    observer.found([(run, records[run.key]) for run in runs if run.key in records])
    missing = {run.key: run for run in runs if run.key not in records}
    for run, record in pool.measure(list(missing.values())):
        records.add(record)
        observer.ended(run, record)

"""Processes that make a study's runs end with it."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from zojax.lm.comparison._execute import _Pool

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="reads Linux's /proc")


def hold_a_worker(cache: str, pids: Connection) -> None:
    """A study between two runs."""
    with _Pool(2, cache) as pool:
        pids.send(pool._pool.submit(os.getpid).result())
        time.sleep(600)


def comes_true(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie that nobody has asked after."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@needs_proc
def test_workers_end_with_a_study_that_is_killed(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    study = context.Process(target=hold_a_worker, args=(str(tmp_path), theirs))
    study.start()
    assert ours.poll(120)
    worker = ours.recv()
    assert runs(worker)
    study.kill()
    study.join()
    assert comes_true(lambda: not runs(worker))

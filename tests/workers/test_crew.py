"""A crew's steps are those of one process, whoever dies, is late, or joins."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import toy_job as toy
from sets import slow_except

import zojax
from zojax.trajectory import (
    Header,
    LogWriter,
    Replayer,
    fingerprint,
    key_parts,
    read_log,
    record_fields,
)
from zojax.workers import Crew, Died, InProcess, Job, Make, Reply, make_job

PLACES = (
    *("starting", "received", "behind", "caught up", "points known"),
    *("point reached", "point evaluated", "answered", "replying", "replied"),
)


ask_tell, replayer = functools.cache(zojax.ask_tell), functools.cache(Replayer)


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers of all tests share the programs of an optimizer."""
    for module in ("_crew", "_worker"):
        monkeypatch.setattr(f"zojax.workers.{module}.ask_tell", ask_tell)
    monkeypatch.setattr("zojax.workers._worker.Replayer", replayer)


@functools.cache
def optimizer(name: str) -> Any:
    return toy.optimizer(name)


def make(name: str = "es") -> Any:
    return lambda: Job(optimizer(name), toy.start(), toy.loss)


def alone(steps: int, name: str = "es", without: Any = None) -> Any:
    """The run of one process; ``without[step]`` are points whose losses do not come."""
    init, ask, tell = ask_tell(optimizer(name))
    params = toy.start()
    state = init(params)
    for step in range(steps):
        lost = (without or {}).get(step, ())
        points = [p for p in ask(state, params) if p.data not in lost]
        params, state = tell(state, params, {p: toy.loss(p.params(params), step) for p in points})
        params, state = folded(name, params, state)
    return params


def folded(name: str, params: Any, state: Any) -> Any:
    return zojax.fold(params, state) if name == "subspace" else (params, state)


def together(crew: Crew, steps: int, name: str = "es") -> tuple[Any, list[Any]]:
    params = toy.start()
    state = optimizer(name).init(params)
    reports: list[Any] = []
    for _ in range(steps):
        params, state, report = crew.step(params, state)
        params, state = folded(name, params, state)
        reports.append(report)
    return params, reports


def same_bits(found: Any, expected: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("workers", [1, 3, 11])
def test_it_is_the_run_of_one_process(workers: int):
    with Crew(optimizer("es"), InProcess(make()), workers=workers) as crew:
        params, reports = together(crew, 4)
    same_bits(params, alone(4))
    assert [(r.step, len(r.losses), r.left_out) for r in reports] == [(i, 8, ()) for i in range(4)]


@pytest.mark.parametrize(
    "name", slow_except({name: name for name in ("zo_adamu", "subspace")}, "zo_adamu")
)
def test_it_is_the_run_of_one_process_of_other_optimizers(name: str):
    with Crew(optimizer(name), InProcess(make(name)), workers=2) as crew:
        params, _ = together(crew, 5, name)
    same_bits(params, alone(5, name))


class Deaths:
    """A worker dies when it passes a place for the given time."""

    def __init__(self, place: str, times: int) -> None:
        self.place, self.left = place, times

    def __call__(self, worker: int, place: str) -> None:
        if place == self.place:
            self.left -= 1
            if not self.left:
                raise InProcess.Death(f"worker {worker}, {place}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_worker_that_dies_loses_no_result(place: str, times: int):
    deaths = Deaths(place, times)
    with Crew(optimizer("es"), InProcess(make(), passing=deaths), workers=2) as crew:
        params, reports = together(crew, 5)
    died = place != "starting" or times == 1  # two workers start twice, once each
    assert (deaths.left <= 0) == died
    assert sum(report.replaced for report in reports) == died
    assert not any(report.left_out for report in reports)
    same_bits(params, alone(5))


def test_many_random_deaths_change_nothing():
    chance = random.Random(5)

    def passing(worker: int, place: str) -> None:
        if chance.random() < 0.01:
            raise InProcess.Death(place)

    with Crew(optimizer("es"), InProcess(make(), passing=passing), workers=3) as crew:
        params, reports = together(crew, 60)
    assert sum(report.replaced for report in reports) > 20
    same_bits(params, alone(60))


@pytest.mark.quick
def test_a_silent_worker_is_left_out_and_in_the_end_replaced():
    """It has answered before; then it says nothing any more."""
    speaks = {"turns": 3}

    def slowness(worker: int) -> float:
        if worker == 0:
            speaks["turns"] -= 1
            return 1.0 if speaks["turns"] >= 0 else np.inf
        return 1.0

    transport = InProcess(make(), slowness=slowness)
    with Crew(optimizer("es"), transport, workers=2, seconds=10.0) as crew:
        params, reports = together(crew, 40)
    lost = {r.step: r.left_out for r in reports if r.left_out}
    [(step, points)] = lost.items()  # later it is busy, and gets none
    assert 0 < len(points) <= 4
    [replaced] = [r.step for r in reports if r.replaced]
    assert replaced > step
    same_bits(params, alone(40, without=lost))


def test_what_comes_too_late_is_ignored():
    answers = iter([1.0, 1.0])

    def slowness(worker: int) -> float:
        return next(answers, 25.0) if worker == 1 else 1.0

    transport = InProcess(make(), slowness=slowness)
    with Crew(optimizer("es"), transport, workers=2, seconds=10.0) as crew:
        params, reports = together(crew, 24)
    lost = {r.step: r.left_out for r in reports if r.left_out}
    assert len(lost) > 1
    assert not any(r.replaced for r in reports)
    same_bits(params, alone(24, without=lost))


@pytest.mark.quick
def test_workers_may_join_at_any_step():
    starts: list[int] = []

    def passing(worker: int, place: str) -> None:
        if place == "behind" and worker > 0:
            starts.append(worker)

    with Crew(optimizer("es"), InProcess(make(), passing=passing), workers=1) as crew:
        params = toy.start()
        state = optimizer("es").init(params)
        for step in range(6):
            if step == 3:
                crew.add(2)
            params, state, report = crew.step(params, state)
            assert len(report.losses) == 8
    assert {*starts} == {1, 2}
    assert starts.count(1) == 5  # it has replayed the steps before it came, and followed the others
    same_bits(params, alone(6))


def test_the_log_has_the_run_and_a_crew_goes_on_from_it(tmp_path: Path):
    tx, params = optimizer("es"), toy.start()
    key, impl = key_parts(jax.random.key(0))
    base, fields = fingerprint(params), record_fields(tx, params)
    log = LogWriter(tmp_path / "log", Header("es", {}, key, impl, base, 0, fields))
    with Crew(tx, InProcess(make()), workers=2, log=log) as crew:
        params, _ = together(crew, 3)
    log.close()
    read = read_log(tmp_path / "log")
    assert len(read.scalars) == 3
    # The crew's own process begins anew.
    params = toy.start()
    params, state = replayer(tx).take(params, tx.init(params), read.scalars)
    with Crew(tx, InProcess(make()), workers=2, records=read.scalars) as crew:
        for _ in range(2):
            params, state, report = crew.step(params, state)
    assert report.step == 4
    same_bits(params, alone(5))
    with (
        pytest.raises(ValueError, match=r"Crew: state must be at step 0, .* got one at step 5"),
        Crew(tx, InProcess(make()), workers=1) as crew,
    ):
        crew.step(params, state)


def never(worker: int, place: str) -> None:
    raise InProcess.Death(f"at {place}")


def test_workers_that_never_answer_are_an_error():
    with (
        pytest.raises(RuntimeError, match=r"Crew: 10 workers were lost.*the last: at starting"),
        Crew(optimizer("es"), InProcess(make(), passing=never), workers=2) as crew,
    ):
        together(crew, 1)
    slow = InProcess(make(), slowness=lambda worker: np.inf)
    with (
        pytest.raises(RuntimeError, match="the last: no answer in 9 seconds"),
        Crew(optimizer("es"), slow, workers=2, start_seconds=9.0) as crew,
    ):
        together(crew, 1)


@pytest.mark.quick
def test_an_error_of_the_job_is_an_error_here():
    def broken(params: Any, step: int) -> float:
        raise ArithmeticError("of the job")

    jobs = InProcess(lambda: Job(optimizer("es"), toy.start(), broken))
    with (
        pytest.raises(RuntimeError, match="the job of worker 0 raised ArithmeticError: of the job"),
        Crew(optimizer("es"), jobs, workers=1) as crew,
    ):
        together(crew, 1)
    other = InProcess(make("zo_adamu"))
    with (
        pytest.raises(
            RuntimeError, match=r"points must be of step 0, .* optimizer and the workers"
        ),
        Crew(optimizer("es"), other, workers=1) as crew,
    ):
        together(crew, 1)


@pytest.mark.quick
def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="Crew: workers must be >= 1, got 0"):
        Crew(optimizer("es"), InProcess(make()), workers=0)
    with pytest.raises(ValueError, match="Crew: seconds must be > 0"):
        Crew(optimizer("es"), InProcess(make()), workers=1, seconds=0.0)
    with pytest.raises(ValueError, match=r"must be written .package\.module:function., got 'toy'"):
        make_job(Make("toy"))
    with pytest.raises(ValueError, match="toy_job must have a function nothing, got None"):
        make_job(Make("toy_job:nothing"))
    with pytest.raises(TypeError, match=r"toy_job:start must make a zojax\.workers\.Job"):
        make_job(Make("toy_job:start"))
    assert isinstance(make_job(Make("toy_job:make", {"name": "es"})), Job)


@pytest.mark.quick
def test_jobs_are_closed_with_the_crew():
    closed: list[int] = []
    job = make()()._replace(close=lambda: closed.append(1))
    with Crew(optimizer("es"), InProcess(lambda: job._replace(params=toy.start())), workers=2) as c:
        together(c, 1)
        assert not closed
    assert len(closed) == 2


def test_a_note_of_the_job_comes_with_its_losses():
    job = make()()._replace(note=lambda step: f'{{"step": {step}}}')
    with Crew(optimizer("es"), InProcess(lambda: job._replace(params=toy.start())), workers=2) as c:
        _, reports = together(c, 2)
    assert {note for report in reports for note in report.notes} == {'{"step": 0}', '{"step": 1}'}


def test_messages_are_plain():
    assert Reply(0, 1, [((1, 0, 1, 0.5), 2.0)]).note == ""
    assert Died(3, "why") == (3, "why")

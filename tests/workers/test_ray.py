"""Workers in processes of their own, under Ray: they are killed, and nothing changes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import toy_job as toy

import zojax
from zojax.workers import Crew, Make, RayWorkers

ray = pytest.importorskip("ray", reason="needs ray, an extra")

pytestmark = [
    pytest.mark.slow,
    # Ray starts its own programs, in which there is no JAX.
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
]

PLACES = (
    *("starting", "received", "behind", "caught up", "points known"),
    *("point reached", "point evaluated", "answered", "replying", "replied"),
)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    here = os.pathsep.join(
        [str(Path(toy.__file__).parent), *filter(None, [os.getenv("PYTHONPATH")])]
    )
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": here, "JAX_PLATFORMS": "cpu"}},
    )
    yield
    ray.shutdown()


def alone(steps: int) -> Any:
    init, ask, tell = zojax.ask_tell(toy.optimizer())
    params = toy.start()
    state = init(params)
    for step in range(steps):
        losses = {p: toy.loss(p.params(params), step) for p in ask(state, params)}
        params, state = tell(state, params, losses)
    return params


def together(steps: int, pause: float = 0.0, **settings: Any) -> tuple[Any, int]:
    tx, params, replaced = toy.optimizer(), toy.start(), 0
    state = tx.init(params)
    with Crew(tx, RayWorkers(Make("toy_job:make", settings)), workers=2) as crew:
        for _ in range(steps):
            params, state, report = crew.step(params, state)
            replaced += report.replaced
            assert not report.left_out
            time.sleep(pause)
    return params, replaced


@pytest.mark.parametrize("place", PLACES)
def test_a_process_that_is_killed_loses_no_result(place: str, tmp_path: Path):
    # Long enough for one that ends after its reply: the next step meets its end.
    pause = 0.6 if place in toy.LATER else 0.0
    params, replaced = together(4, pause, dies_at=place, once=str(tmp_path / "died"))
    assert replaced == 1
    jax.tree.map(np.testing.assert_array_equal, params, alone(4))


def test_a_thousand_steps_with_random_deaths_end_as_one_process_does():
    params, replaced = together(1000, dies_often=0.0005)
    assert replaced > 3
    jax.tree.map(np.testing.assert_array_equal, params, alone(1000))


def test_an_error_of_the_job_is_told():
    tx, params = toy.optimizer(), toy.start()
    crew = Crew(tx, RayWorkers(Make("toy_job:make", {"name": "nothing", "nonsense": 1})), workers=1)
    with pytest.raises(RuntimeError, match=r"the job of worker 0 raised .*nonsense"), crew:
        crew.step(params, tx.init(params))

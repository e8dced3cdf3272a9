"""Real processes, with real collectives between them on the loopback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import opt_mini_job
import pytest

from zojax.lm import processes as jobs
from zojax.lm.processes import Spread


@pytest.fixture(scope="module")
def alone() -> tuple[list[np.ndarray], list[float]]:
    """What one process comes to on one device."""
    from jax import numpy_dtype_promotion

    with numpy_dtype_promotion("standard"):
        return opt_mini_job.train(Spread())


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_train_to_the_parameters_of_one(
    processes: int,
    alone: tuple[list[np.ndarray], list[float]],
    tmp_path: Path,
    a_device_each: None,
):
    command = [sys.executable, str(Path(opt_mini_job.__file__)), str(tmp_path)]
    assert jobs.launch(command, processes) == 0
    reports: list[dict[str, Any]] = [
        json.loads((tmp_path / f"{i}.json").read_text()) for i in range(processes)
    ]
    assert all(report == reports[0] for report in reports)
    assert reports[0]["processes"] == processes
    # What one process says at the third call is heard by all at the fourth.
    assert reports[0]["agreed"] == [0, 0, 0, 15, 0]

    leaves, losses = alone
    assert reports[0]["query"]["losses"] == losses
    with np.load(tmp_path / "query.npz") as query:
        for expected, got in zip(leaves, query.values(), strict=True):
            np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(reports[0]["data"]["losses"], losses, rtol=1e-5)
    with np.load(tmp_path / "data.npz") as data:
        for expected, got in zip(leaves, data.values(), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, 2, 0), "need a coordinator, got 2 and 0 without"),
        (("localhost:1", None, 0), "given, or JAX_NUM_PROCESSES must be a number"),
        (("localhost:1", 2, None), "process_id must be given, or JAX_PROCESS_ID must be a number"),
        (("localhost:1", 2, 2), "process_id within 0 … num_processes - 1, got 'localhost:1'"),
        (("localhost", 2, 1), "must be host:port"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: tuple[Any, Any, Any], message: str):
    with pytest.raises(ValueError, match=message):
        jobs.join(*given)


def test_without_a_coordinator_there_is_one_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    assert not jobs.join()

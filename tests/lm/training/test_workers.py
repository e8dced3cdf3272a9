"""Runs whose losses workers evaluate: here in this process, and under Ray in the slow set."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from zojax.lm.models import load
from zojax.lm.training import (
    FinetuneConfig,
    HyperParameters,
    NonFiniteLossError,
    Result,
    RewardConfig,
    finetune,
    replay_run,
)
from zojax.workers import InProcess, make_job

pytestmark = pytest.mark.usefixtures("standard_promotion")

Run = Callable[..., Result]


@pytest.fixture
def run(base: FinetuneConfig, tmp_path: Path) -> Run:
    """Fine-tune with settings changed, each time into a folder of its own."""
    numbers = itertools.count()

    def run(**changes: Any) -> Result:
        output = tmp_path / f"run-{next(numbers)}"
        return finetune(dataclasses.replace(base, output=output, **changes))

    return run


class Here:
    """Workers in this process, of which some die."""

    def __init__(self) -> None:
        self.dies_at: list[str] = []
        self.started = 0

    def passing(self, worker: int, place: str) -> None:
        self.started += place == "starting"
        if worker and place in self.dies_at:
            self.dies_at.remove(place)
            raise InProcess.Death(place)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    found = Here()
    monkeypatch.setattr(
        "zojax.lm.training._crew.transport_of",
        lambda config, make: InProcess(lambda: make_job(make), passing=found.passing),
    )
    return found


def weights(folder: Path) -> Any:
    return load(folder).params


def lines(result: Result) -> list[dict[str, Any]]:
    text = (result.folder / "metrics.jsonl").read_text()
    return [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in text.splitlines()]


def same_bits(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_workers_tune_as_one_process_does_and_their_number_does_not_matter(
    run: Run, here: Here, tmp_path: Path
):
    alone, one, three = (run(workers=n, log_every=1) for n in (None, 1, 3))
    assert here.started == 4
    same_bits(weights(one.model_folder), weights(three.model_folder))
    assert lines(one) == lines(three)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        weights(alone.model_folder),
        weights(one.model_folder),
    )
    losses = [[x["loss"] for x in lines(each) if "loss" in x] for each in (alone, one)]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    replayed = replay_run(
        json.loads((one.folder / "config.json").read_text())["model"],
        one.folder,
        tmp_path / "replayed",
    )
    same_bits(weights(replayed.folder), weights(one.model_folder))


@pytest.mark.slow
def test_a_worker_that_dies_and_a_run_that_goes_on_with_others_change_nothing(
    run: Run, here: Here, base: FinetuneConfig
):
    whole = run(workers=2)
    here.dies_at = ["point evaluated", "behind"]
    died = run(workers=2)
    assert not here.dies_at
    same_bits(weights(died.model_folder), weights(whole.model_folder))
    part = run(workers=2, steps=3, planned_steps=base.steps)
    longer = finetune(FinetuneConfig(resume=part.folder, steps=base.steps, workers=3))
    assert longer.steps == base.steps
    same_bits(weights(longer.model_folder), weights(whole.model_folder))
    with pytest.raises(ValueError, match="workers must be left out for a run without, got 2"):
        finetune(FinetuneConfig(resume=run(steps=3).folder, steps=6, workers=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "zo_adamu", "hyper": HyperParameters(num_queries=2)},
        {"hyper": HyperParameters(subspace_rank=2, subspace_refresh=2)},
        {"slopes": "bfloat16", "micro_batch": 4},
        {"start": "probe"},
    ],
)
def test_other_runs_with_workers_are_replayed(
    run: Run, here: Here, base: FinetuneConfig, tmp_path: Path, settings: dict[str, Any]
):
    one, two = (run(workers=n, **settings) for n in (1, 2))
    same_bits(weights(one.model_folder), weights(two.model_folder))
    if "start" not in settings:  # the head is beside the log
        replayed = replay_run(base.model, one.folder, tmp_path / "replayed")
        same_bits(weights(replayed.folder), weights(one.model_folder))


def test_a_loss_that_is_not_finite_stops_the_run_or_drops_its_query(
    run: Run, here: Here, monkeypatch: pytest.MonkeyPatch
):
    def broken(make: Any) -> Any:
        job = make_job(make)
        return job._replace(loss=lambda p, step: np.nan if step == 2 else job.loss(p, step))

    monkeypatch.setattr(
        "zojax.lm.training._crew.transport_of",
        lambda config, make: InProcess(lambda: broken(make)),
    )
    with pytest.raises(NonFiniteLossError, match="loss must be finite, got nan at step 3"):
        run(workers=1)
    assert run(workers=1, non_finite="skip").skipped == 1


@pytest.mark.quick
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers must be >= 1, got 0"),
        ({"worker_seconds": 3.0}, "worker_seconds needs workers, got 3 without"),
        ({"workers": 2, "worker_seconds": 0.0}, "worker_seconds must be > 0, got 0"),
        ({"workers": 2, "optimizer": "adam"}, "losses at given points alone .* got adam"),
        ({"workers": 2, "optimizer": "zo_sgd_conservative"}, "got zo_sgd_conservative"),
        ({"workers": 2, "mesh": "data=2"}, "mesh must be left out with workers"),
        ({"workers": 2, "parallel": "query"}, "parallel must be left out with workers"),
        ({"workers": 2, "minutes": 3.0}, "minutes must be left out with workers"),
        ({"workers": 2, "objective": "accuracy"}, "objective must be left out with workers"),
        (
            {"workers": 2, "hyper": HyperParameters(evaluation="in_place")},
            "evaluation must be left out with workers, got in_place",
        ),
        (
            {"workers": 2, "hyper": HyperParameters(learning_rate="auto")},
            "learning_rate must be left out with workers, got auto",
        ),
    ],
)
def test_what_workers_cannot_do_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"^finetune: .*{message}"):
        FinetuneConfig(**{"optimizer": "mezo", **settings})


def scored(base: FinetuneConfig, tmp_path: Path, reward: str) -> FinetuneConfig:
    """A run that raises a reward of the letters that a tiny model writes."""
    judge = tmp_path / "judge.py"
    judge.write_text(
        "def letters(completion, row):\n    return sum(map(str.isalpha, completion)) / 10\n\n"
        "def moody(completion, row):\n"
        "    if row['worth'] == 2:\n        raise ValueError('not this one')\n"
        "    return letters(completion, row)\n"
    )
    rows = [{"prompt": f"film {i}", "worth": i % 3} for i in range(12)]
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = dataclasses.replace(
        base.data,
        task=None,
        **{name: tmp_path / f"{name}.jsonl" for name in ("train", "dev", "test")},
    )
    return dataclasses.replace(
        base,
        optimizer="es",
        steps=3,
        batch_size=3,
        log_every=1,
        data=data,
        scoring=RewardConfig(reward=f"{judge}:{reward}", max_new_tokens=4),
        hyper=HyperParameters(population=4),
    )


@pytest.mark.slow
@pytest.mark.parametrize("reward", ["letters", "moody"])
def test_a_reward_is_raised_by_workers(
    base: FinetuneConfig, here: Here, tmp_path: Path, reward: str
):
    config = scored(base, tmp_path, reward)
    results = [
        finetune(dataclasses.replace(config, workers=n, output=tmp_path / f"run-{n}"))
        for n in (1, 2)
    ]
    same_bits(*(weights(result.model_folder) for result in results))
    one, two = ((r.folder / "rewards.jsonl").read_text() for r in results)
    first, second = ([json.loads(x) for x in text.splitlines()] for text in (one, two))
    assert [x["step"] for x in first] == [1, 2, 3]
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose([*a.values()], [*b.values()], rtol=1e-6)
    assert any(x["failures"] for x in first) == (reward == "moody")


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs ray, an extra")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_run_under_ray(run: Run, here: Here, monkeypatch: pytest.MonkeyPatch):
    expected = run(workers=2)
    monkeypatch.undo()
    monkeypatch.setenv("JAX_NUMPY_DTYPE_PROMOTION", "standard")
    found = run(workers=2)
    same_bits(weights(found.model_folder), weights(expected.model_folder))

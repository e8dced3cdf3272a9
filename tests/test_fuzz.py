"""Damaged files: a few of what ``benchmarks/fuzz.py`` makes, the same in every run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from fuzzing import judge as judging
from fuzzing.judge import GOOD, Target, judge
from fuzzing.mutations import as_json
from fuzzing.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from sets import slow_except


# Where an array of a checkpoint is damaged, orbax closes its loop on reads of the others.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("Parquet", marks=pytest.mark.pyarrow),
        *slow_except(
            [kind for kind in TARGETS if kind != "Parquet"],
            "CSV, classes",
            "JSONL, answers",
            "config.json of a run",
            "trajectory log",
            "checkpoint",
            "adapter folder",
        ),
    ],
)
def test_damaged_files(kind: str, tmp_path: Path):
    target = TARGETS[kind]()
    first = next(iter(target.files))
    assert judge(target, tmp_path, first, target.files[first])[0] == "read right"

    @settings(
        max_examples=round(60 * target.share),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @given(target.mutations())
    def check(mutation: tuple[str, bytes]) -> None:
        outcome, why = judge(target, tmp_path, *mutation)
        assert outcome in GOOD, f"{outcome}: {why}"

    check()


def _read(folder: Path) -> Any:
    text = (folder / "a.json").read_text()
    if text == "hang":
        time.sleep(60)
    return {"crash": lambda: {}[1], "unnamed": lambda: int("x"), "wrong": lambda: "1"}[text]()


@pytest.mark.quick
@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ("crash", "another error"),
        ("unnamed", "refused without a name"),
        ("wrong", "read wrong"),
        ("hang", "no end"),
    ],
)
def test_the_judge_sees_every_fault(
    content: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(judging, "SECONDS", 0.1)
    target = Target({"a.json": as_json(1)}, _read, lambda files: 1)
    assert judge(target, tmp_path, "a.json", content.encode())[0] == outcome

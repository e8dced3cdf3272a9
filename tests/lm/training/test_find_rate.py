"""Runs that search their learning rate."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zojax.lm.training import FinetuneConfig, HyperParameters, Observer, finetune, resolve
from zojax.lm.training._find_rate import STEPS

pytestmark = pytest.mark.usefixtures("standard_promotion")


class Notes(Observer):
    def __init__(self) -> None:
        self.tried: dict[float, float] = {}
        self.found: tuple[float, int] | None = None
        self.compiled_what: list[str] = []

    def rate_tried(self, rate: float, loss: float) -> None:
        self.tried[rate] = loss

    def rate_found(self, rate: float, forward_passes: int) -> None:
        self.found = rate, forward_passes

    def compiled(self, what: str, seconds: float) -> None:
        self.compiled_what.append(what)


def auto(base: FinetuneConfig, output: Path, **hyper: Any) -> FinetuneConfig:
    settings = HyperParameters(learning_rate="auto", slope_rule="rms", **hyper)
    return dataclasses.replace(base, hyper=settings, output=output)


def test_a_run_searches_its_rate_and_then_is_a_run_at_that_rate(base, tmp_path: Path):
    notes = Notes()
    found = finetune(auto(base, tmp_path / "auto"), notes)
    written = json.loads((found.folder / "learning_rate.json").read_text())
    assert notes.tried == dict(zip(written["rates"], written["losses"], strict=True))
    assert notes.found == (written["rate"], written["forward_passes"])
    assert written["steps"] == STEPS * len(written["rates"])
    assert written["forward_passes"] == 2 * written["steps"]
    best = written["rates"][int(np.argmin(written["losses"]))]
    assert written["rate"] == pytest.approx(best / math.sqrt(10), rel=0.1)
    assert (found.folder / "learning_rate.png").stat().st_size > 1000
    # The programs are those of the run: none is compiled twice.
    assert len(notes.compiled_what) == len({*notes.compiled_what})

    # The configuration has the number, so that a resumed or repeated run searches nothing.
    config = json.loads((found.folder / "config.json").read_text())
    assert config["hyper"]["learning_rate"] == written["rate"]
    given = HyperParameters(learning_rate=written["rate"], slope_rule="rms")
    again = finetune(dataclasses.replace(base, hyper=given, output=tmp_path / "given"))
    for name in ("trajectory.log", "model/model.safetensors"):
        assert (found.folder / name).read_bytes() == (again.folder / name).read_bytes()
    assert not (again.folder / "learning_rate.json").exists()
    assert found.seconds["search"] > 0 == again.seconds["search"]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["zo_adamu", "adam", "zo_adam"])
def test_every_kind_of_optimizer_can_search(optimizer, base, tmp_path: Path):
    hyper = HyperParameters(learning_rate="auto", schedule="linear")
    config = dataclasses.replace(base, optimizer=optimizer, hyper=hyper, output=tmp_path / "run")
    finetune(config)
    assert (tmp_path / "run" / "learning_rate.json").is_file()


def test_a_search_needs_a_compiled_step(base, tmp_path: Path):
    config = auto(base, tmp_path / "run", evaluation="in_place")
    with pytest.raises(ValueError, match="learning_rate auto must be for evaluation streamed or"):
        resolve(config)

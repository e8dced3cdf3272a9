"""The committed studies: their files say how their runs were made, so that each is found again."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from zojax.lm.comparison import Records, load_study
from zojax.lm.comparison._execute import reported

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# The cost of a step of forward_gradient_sgd was changed after the runs, and with it their steps.
COUNTED_OTHERWISE = {"template": (), "four_tasks": ("forward gradient",)}


@pytest.mark.parametrize("name", COUNTED_OTHERWISE)
def test_every_reported_run_of_a_study_is_found(name: str):
    study = load_study(BENCHMARKS / "studies" / f"{name}.toml")
    records = Records(BENCHMARKS / "results" / name / "runs.jsonl")
    found = reported(study, records)
    cells = [cell for cell in study.cells() if cell.method not in COUNTED_OTHERWISE[name]]
    assert len(cells) > 10
    for cell in cells:
        seeds = study.seeds[:1] if cell.baseline == "zero-shot" else study.seeds
        assert [record["seed"] for record in found[cell]] == [*seeds], cell


def test_a_record_is_of_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    study = importlib.import_module("_study")
    records, key = tmp_path / "runs.jsonl", {"way": "float32", "seed": 0}
    other = {"model": "smollm2-135m", **key}
    study.once(records, other, lambda: {"dev": 0.1})
    assert study.once(records, key, lambda: {"dev": 0.2}) == {**key, "dev": 0.2}
    assert study.once(records, other, lambda: {"dev": 0.3}) == {**other, "dev": 0.1}
    assert [json.loads(line)["dev"] for line in records.read_text().splitlines()] == [0.1, 0.2]

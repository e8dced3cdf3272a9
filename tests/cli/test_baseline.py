"""The command ``zojax baseline``: a table, a line of JSON, and options that go nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from compiled_once import compiled_once

from zojax.cli import _baseline, main
from zojax.lm.baselines import Measured
from zojax.lm.training import FinetuneConfig, Observer, Scores

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture
def arguments(tiny_opt: Path, tmp_path: Path) -> list[str]:
    for name in ("train", "test"):
        rows = "\n".join(f"film {i},{i % 2}" for i in range(20))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}\n")
    data = [f"--{name}={tmp_path / name}.csv" for name in ("train", "test")]
    return [f"--model={tiny_opt}", "--max-length=16", "--num-buckets=1", *data]


@pytest.mark.parametrize(
    ("method", "chosen"),
    [
        ("zero-shot", set[str]()),
        ("in-context", {"drawn", "fewest", "mean"}),
        ("linear-probe", {"C"}),
    ],
)
def test_table_and_json_agree(
    method: str, chosen: set[str], arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main(["baseline", method, *arguments, "--json", "--seed=3"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    found = json.loads(line)
    assert found["method"] == method
    assert found["chosen"].keys() == chosen
    assert re.search("loading .* \\.\\.\\.", printed.err)

    assert main(["baseline", method, *arguments, "--seed=3"]) == 0
    table = capsys.readouterr().out
    for name in ("dev", "test"):
        accuracy, loss, examples = found[name].values()
        assert re.search(rf"^{name} +{accuracy:.1%} +{loss:.4f} +{examples}$", table, re.M)
    for name in chosen:
        assert f"{name} {found['chosen'][name]:g}" in table
    assert f"{found['rows_read']} rows read" in table


def test_every_option_arrives(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    configs: list[FinetuneConfig] = []

    def zero_shot(config: FinetuneConfig, observer: Observer) -> Measured:
        configs.append(config)
        return Measured(Scores(0.5, 0.25, 8), Scores(0.125, 0.75, 16), 1.5, 24)

    monkeypatch.setattr(_baseline, "zero_shot", zero_shot)
    options = ["--from-pt", "--dtype=bfloat16", "--eval-batch-size=3", "--seed=4", "--bare"]
    assert main(["baseline", "zero-shot", *arguments, *options]) == 0
    (config,) = configs
    assert arguments[0] == f"--model={config.model}"
    assert (config.from_pt, config.dtype) == (True, "bfloat16")
    assert (config.eval_batch_size, config.seed) == (3, 4)
    assert (config.data.bare, config.data.max_length) == (True, 16)
    assert capsys.readouterr().out.splitlines() == [
        "zero-shot      accuracy     loss  examples",
        "dev               50.0%   0.2500         8",
        "test              12.5%   0.7500        16",
        "cost          24 rows read, 1.5 s",
    ]


def test_demonstrations_are_for_in_context_alone(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main(["baseline", "in-context", *arguments, "--json", "--demonstrations=1"]) == 0
    assert json.loads(capsys.readouterr().out)["chosen"]["drawn"] == 1
    assert main(["baseline", "zero-shot", *arguments, "--demonstrations=1"]) == 1
    assert "zero-shot must not be given demonstrations, got 1" in capsys.readouterr().err

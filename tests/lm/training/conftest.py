"""One compilation of each program for all runs of this folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compiled_once import compiled_once

from zojax.lm.training import (
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    Observer,
    Result,
    finetune,
)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


# For each module, and not for the session: what other folders compile for is no CPU.
@pytest.fixture(scope="module", autouse=True)
def compile_once(compiled: Path) -> Iterator[None]:
    with compiled_once(compiled):
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """Texts whose first word tells the class."""
    folder = tmp_path_factory.mktemp("data")
    for name, count in (("train", 40), ("dev", 12), ("test", 16)):
        rows = [
            {"text": f"{('film', 'story')[i % 2]} a It {i}", "label": i % 2} for i in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return DataConfig(
        task="rotten-tomatoes",
        train=folder / "train.jsonl",
        dev=folder / "dev.jsonl",
        test=folder / "test.jsonl",
        num_buckets=1,
    )


@pytest.fixture(scope="session")
def base(tiny_opt: Path, data: DataConfig) -> FinetuneConfig:
    return FinetuneConfig(
        model=str(tiny_opt),
        optimizer="mezo",
        steps=6,
        batch_size=8,
        eval_batch_size=16,
        eval_every=3,
        log_every=2,
        data=data,
        hyper=HyperParameters(learning_rate=1e-3),
    )


@pytest.fixture
def run(base: FinetuneConfig, tmp_path: Path) -> Callable[..., Result]:
    """Fine-tune with settings changed, into a folder of the test's own."""

    def run(observer: Observer | None = None, **changes: Any) -> Result:
        output = changes.pop("output", tmp_path / "run")
        return finetune(dataclasses.replace(base, output=output, **changes), observer)

    return run

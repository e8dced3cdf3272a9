"""A run that has learnt to tell three classes by the first word of a text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from compiled_once import compiled_once
from tiny_models import tokenizer_of, write_tiny_model

from zojax.lm.training import DataConfig, FinetuneConfig, HyperParameters, Result, finetune

# One label word is several tokens, so that each text is a row for each class.
CLASSES = {"film": "great", "story": "terrible", "other": "abysmal"}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module", autouse=True)
def compile_once(compiled: Path) -> Iterator[None]:
    with compiled_once(compiled):
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    for name, count in (("train", 60), ("dev", 12), ("test", 30)):
        words = [[*CLASSES][i % 3] for i in range(count)]
        # One row in ten has a wrong label, so that no model is right everywhere.
        labels = ["great" if i % 10 == 9 else CLASSES[word] for i, word in enumerate(words)]
        rows = [
            {"text": f"{word} a It {'a film ' * (i % 4)}{i}", "label": label}
            for i, (word, label) in enumerate(zip(words, labels, strict=True))
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return {name: folder / f"{name}.jsonl" for name in ("train", "dev", "test")}


@pytest.fixture(scope="module")
def run(tiny_opt: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Result:
    config = FinetuneConfig(
        model=str(tiny_opt),
        optimizer="adam",
        steps=30,
        batch_size=20,
        eval_batch_size=16,
        eval_every=10,
        start="words",
        output=tmp_path_factory.mktemp("run"),
        data=DataConfig(**files, label_words=tuple(CLASSES.values()), num_buckets=1),
        hyper=HyperParameters(learning_rate=1e-2),
    )
    with jax.numpy_dtype_promotion("standard"):  # as optax's own rules need it
        return finetune(config)


@pytest.fixture(scope="session")
def long_opt(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model for the papers' prompts, which are long."""
    folder = tmp_path_factory.mktemp("models") / "long-opt"
    sizes = dict(num_hidden_layers=1, max_position_embeddings=258)
    return write_tiny_model(folder, "opt", tokenizer_of(tiny_opt), **sizes)


@pytest.fixture(scope="session")
def one_step() -> Callable[..., Result]:
    """Makes a run of one step that changes its parameters much."""

    def make(folder: Path, rows: Path, output: Path, task: str, **settings: Any) -> Result:
        config = FinetuneConfig(
            model=str(folder),
            optimizer="mezo",
            steps=1,
            batch_size=1,
            eval_batch_size=4,
            eval_every=1,
            output=output,
            data=DataConfig(task=task, train=rows, test=rows, max_length=256, num_buckets=1),
            hyper=HyperParameters(learning_rate=0.1, eps=0.1),
            **settings,
        )
        return finetune(config, report="last")

    return make

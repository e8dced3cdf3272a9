"""Small files that a linear probe can learn, and tiny models that read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compiled_once import compiled_once
from tiny_models import masked_tokenizer_of, write_tiny_model

from zojax.lm.training import DataConfig, FinetuneConfig

ROWS = Path(__file__).parents[1] / "tasks" / "data"
SIZES = (("train", 40), ("dev", 12), ("test", 16))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module", autouse=True)
def compile_once(compiled: Path) -> Iterator[None]:
    with compiled_once(compiled):
        yield


@pytest.fixture(scope="session")
def tiny_roberta(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    sizes = dict(hidden_size=32, num_hidden_layers=1, max_position_embeddings=50, type_vocab_size=1)
    return write_tiny_model(folder, "roberta", masked_tokenizer_of(tiny_opt), **sizes)


@pytest.fixture(scope="session")
def write_files(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Callable[[int], dict[str, Any]]], dict[str, Path]]:
    """Writes a row for each number below the split's size."""

    def write(row: Callable[[int], dict[str, Any]]) -> dict[str, Path]:
        folder = tmp_path_factory.mktemp("data")
        for name, count in SIZES:
            lines = "\n".join(json.dumps(row(i)) for i in range(count))
            (folder / f"{name}.jsonl").write_text(lines)
        return {name: folder / f"{name}.jsonl" for name, _ in SIZES}

    return write


@pytest.fixture(scope="session")
def first_words(write_files: Any) -> dict[str, Path]:
    """Texts whose first word tells the class."""
    return write_files(
        lambda i: {"text": f"{('film', 'story')[i % 2]} a It {i}", "label": i % 2},
    )


@pytest.fixture(scope="session")
def base(tiny_opt: Path, first_words: dict[str, Path]) -> FinetuneConfig:
    data = DataConfig(task="rotten-tomatoes", **first_words, num_buckets=1)
    return FinetuneConfig(model=str(tiny_opt), eval_batch_size=16, data=data)

"""A tiny model, and members: adapters that change what it writes."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import jax
import lora_server
import pytest

import zojax.lm.models
from zojax.lm.adapters import LoRA
from zojax.lm.engines import ZojaxEngine, written
from zojax.lm.models import LanguageModel

ADAPTER = LoRA(rank=2, alpha=4.0)
TEXTS = ["a film . It was", "a story"]


@pytest.fixture(scope="session")
def model(tiny_opt: Path) -> LanguageModel:
    return zojax.lm.models.load(tiny_opt)


@pytest.fixture(scope="session")
def prompts(model: LanguageModel) -> list[list[int]]:
    return model.tokenizer(TEXTS)["input_ids"]


@pytest.fixture(scope="session")
def trees(model: LanguageModel) -> list:
    """Parameters of three members."""
    first = ADAPTER.adapt(model, 0).params["adapter"]
    leaves, tree = jax.tree.flatten(first)

    def member(seed: int):
        keys = jax.random.split(jax.random.key(seed), len(leaves))
        pairs = zip(leaves, keys, strict=True)
        return tree.unflatten([x + jax.random.normal(key, x.shape) for x, key in pairs])

    return [member(seed) for seed in range(3)]


@pytest.fixture(scope="session")
def members(model: LanguageModel, trees: list) -> Generator[list[Path]]:
    with written(ADAPTER, model, trees) as folders:
        yield folders


@pytest.fixture(scope="session")
def own(model: LanguageModel) -> ZojaxEngine:
    return ZojaxEngine(model)


@pytest.fixture
def server(own: ZojaxEngine) -> Generator[lora_server.LoraServer]:
    with lora_server.serving(own) as state:
        yield state

"""Tiny random models that write, and prompts of different lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from compiled_once import compiled_once
from quick_compile import quick_jit
from tiny_models import tokenizer_of, write_tiny_model

import zojax.lm.models
from zojax.lm.models import LanguageModel

Load = Callable[..., LanguageModel]


@pytest.fixture(scope="session")
def load(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """``load(family, **settings)`` loads a random model of one layer."""
    tokenizer = tokenizer_of(tiny_opt)

    @cache
    def load(family: str, **settings: Any) -> LanguageModel:
        folder = tmp_path_factory.mktemp(family)
        sizes = {"num_hidden_layers": 1, "tie_word_embeddings": False, **settings}
        write_tiny_model(folder, family, tokenizer, **sizes)
        return zojax.lm.models.load(folder)

    return load


@pytest.fixture(scope="session")
def quick() -> Callable[..., Any]:
    """``jax.jit`` that compiles quickly."""
    return quick_jit


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield

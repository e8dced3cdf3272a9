"""Tiny random models of the four families."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from quick_compile import quick_jit
from tiny_models import tokenizer_of, write_tiny_model

import zojax.lm.models
from zojax.lm.models import LanguageModel

Make = Callable[..., Path]
Load = Callable[..., LanguageModel]


@pytest.fixture(scope="session")
def make(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """``make(family, **settings)`` writes a random model in transformers' layout."""
    tokenizer = tokenizer_of(tiny_opt)

    @cache
    def write(family: str, **settings: Any) -> Path:
        return write_tiny_model(tmp_path_factory.mktemp(family), family, tokenizer, **settings)

    return write


@pytest.fixture(scope="session")
def load(make: Make) -> Load:
    """``load(family, dtype="float32", implementation="zojax", **settings)`` loads such a model."""

    @cache
    def load(
        family: str, dtype: Any = "float32", implementation: Any = "zojax", **settings: Any
    ) -> LanguageModel:
        folder = make(family, **settings)
        return zojax.lm.models.load(folder, dtype=dtype, implementation=implementation)

    return load


@pytest.fixture
def quick() -> Callable[..., Any]:
    """``jax.jit`` that compiles quickly."""
    return quick_jit

"""Tiny random models of the four families."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import pytest
from tiny_models import FAMILIES, flax_class, write_tiny_model
from transformers import AutoTokenizer

import zojax.lm.models
from zojax.lm.models import LanguageModel

# Quick to compile: for what is compared to rounding, on shapes that take no time to compute.
QUICK = {"xla_backend_optimization_level": 0}
Make = Callable[..., Path]
Load = Callable[..., LanguageModel]


@pytest.fixture(scope="session")
def make(tiny_opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """``make(family, **settings)`` writes a random model in transformers' layout."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_opt)

    @cache
    def write(family: str, **settings: Any) -> Path:
        return write_tiny_model(tmp_path_factory.mktemp(family), family, tokenizer, **settings)

    return write


@pytest.fixture(scope="session")
def load(make: Make) -> Load:
    """``load(family, dtype="float32", **settings)`` loads such a model."""

    @cache
    def load(family: str, dtype: str = "float32", **settings: Any) -> LanguageModel:
        return zojax.lm.models.load(make(family, **settings), dtype=dtype)

    return load


@pytest.fixture
def quick() -> Callable[..., Any]:
    """``jax.jit`` that compiles quickly."""
    return partial(jax.jit, compiler_options=QUICK)


@pytest.fixture(scope="session")
def flax_classes() -> dict[str, Any]:
    """transformers' class of each family."""
    return {family: flax_class(family) for family in FAMILIES}

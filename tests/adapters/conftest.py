"""Tiny random models of the four families."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from transformers import AutoTokenizer, LlamaConfig, MistralConfig, OPTConfig, RobertaConfig
from transformers.models.llama.modeling_flax_llama import FlaxLlamaForCausalLM
from transformers.models.mistral.modeling_flax_mistral import FlaxMistralForCausalLM
from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM
from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaForMaskedLM

import zojax.models
from zojax.models import LanguageModel

SIZES = dict(num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=48, pad_token_id=1)
FAMILIES = {
    "opt": (FlaxOPTForCausalLM, OPTConfig, dict(word_embed_proj_dim=16, ffn_dim=32)),
    "roberta": (FlaxRobertaForMaskedLM, RobertaConfig, dict(intermediate_size=32)),
    "llama": (
        FlaxLlamaForCausalLM,
        LlamaConfig,
        dict(intermediate_size=32, num_key_value_heads=1, tie_word_embeddings=False),
    ),
    "mistral": (
        FlaxMistralForCausalLM,
        MistralConfig,
        dict(intermediate_size=32, num_key_value_heads=1, tie_word_embeddings=False),
    ),
}
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
        flax_class, config_class, own = FAMILIES[family]
        sizes = {"vocab_size": len(tokenizer), "hidden_size": 16, **SIZES, **own, **settings}
        config = config_class(**sizes)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            model = flax_class(config, _do_init=False)
        rng = np.random.default_rng(0)

        def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
            return rng.normal(0.0, 0.3, leaf.shape).astype(np.float32)

        folder = tmp_path_factory.mktemp(family)
        params = jax.tree.map(draw, model.params_shape_tree)
        model.save_pretrained(folder, params=params, safe_serialization=True)
        tokenizer.save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def load(make: Make) -> Load:
    """``load(family, dtype="float32", **settings)`` loads such a model."""

    @cache
    def load(family: str, dtype: str = "float32", **settings: Any) -> LanguageModel:
        return zojax.models.load(make(family, **settings), dtype=dtype)

    return load


@pytest.fixture
def quick() -> Callable[..., Any]:
    """``jax.jit`` that compiles quickly."""
    return partial(jax.jit, compiler_options=QUICK)


@pytest.fixture(scope="session")
def flax_classes() -> dict[str, Any]:
    """transformers' class of each family."""
    return {family: classes[0] for family, classes in FAMILIES.items()}

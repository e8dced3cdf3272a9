"""Tiny random models of every family, written by transformers' PyTorch classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tokenizer_of

_COMMON = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
_GATED = {
    **_COMMON,
    "intermediate_size": 24,
    "num_key_value_heads": 2,
    "rope_theta": 1e5,
    "max_position_embeddings": 40,
}
# Those of the tokenizer, not Gemma's.
_TOKENS = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}
_SETTINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        {**_COMMON, "ffn_dim": 24, "max_position_embeddings": 40},
    ),
    "roberta": (
        "RobertaConfig",
        "RobertaForMaskedLM",
        {**_COMMON, "intermediate_size": 24, "max_position_embeddings": 42, "type_vocab_size": 1},
    ),
    "llama": ("LlamaConfig", "LlamaForCausalLM", _GATED),
    "mistral": ("MistralConfig", "MistralForCausalLM", {**_GATED, "sliding_window": None}),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", _GATED),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {**_GATED, "head_dim": 8}),
    "gemma2": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        {**_GATED, "head_dim": 8, "sliding_window": 7, "query_pre_attn_scalar": 12, **_TOKENS},
    ),
    "gemma3_text": (
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        {**_GATED, "head_dim": 8, "sliding_window": 7, "num_hidden_layers": 7, **_TOKENS},
    ),
}

Write = Callable[..., tuple[Path, Any]]


@pytest.fixture(scope="session")
def write_model(tmp_path_factory: pytest.TempPathFactory, tiny_opt: Path) -> Write:
    """``(family, **settings) -> folder, PyTorch model``, made once for the same settings."""
    torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")
    transformers = pytest.importorskip("transformers", reason="needs transformers' PyTorch classes")
    tokenizer = tokenizer_of(tiny_opt)
    written: dict[Any, tuple[Path, Any]] = {}

    def write(family: str, **settings: Any) -> tuple[Path, Any]:
        key = (family, *sorted(settings.items(), key=repr))
        if repr(key) not in written:
            config_class, model_class, defaults = _SETTINGS[family]
            config = getattr(transformers, config_class)(**{**defaults, **settings})
            torch.manual_seed(0)
            config._attn_implementation = "eager"
            model = getattr(transformers, model_class)(config).eval()
            with torch.no_grad():
                # Biases and normalisation too, which begin at 0 and 1.
                for parameter in model.parameters():
                    parameter.copy_(0.3 * torch.randn(parameter.shape))
            folder = tmp_path_factory.mktemp(family)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            written[repr(key)] = folder, model
        return written[repr(key)]

    return write

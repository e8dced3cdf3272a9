"""Tiny random models of every family, written by transformers' PyTorch classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import AutoTokenizer

_COMMON = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
_GATED = {
    **_COMMON,
    "intermediate_size": 24,
    "num_key_value_heads": 2,
    "rope_theta": 1e5,
    "max_position_embeddings": 40,
}
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
}

Write = Callable[..., tuple[Path, Any]]


@pytest.fixture(scope="session")
def write_model(tmp_path_factory: pytest.TempPathFactory, tiny_opt: Path) -> Write:
    """``(family, **settings) -> folder, PyTorch model``, made once for the same settings."""
    torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")
    tokenizer = AutoTokenizer.from_pretrained(tiny_opt)
    written: dict[Any, tuple[Path, Any]] = {}

    def write(family: str, **settings: Any) -> tuple[Path, Any]:
        key = (family, *sorted(settings.items(), key=repr))
        if repr(key) not in written:
            config_class, model_class, defaults = _SETTINGS[family]
            config = getattr(transformers, config_class)(**{**defaults, **settings})
            torch.manual_seed(0)
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

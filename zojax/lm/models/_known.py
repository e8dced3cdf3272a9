"""The published configurations of models that are known by name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

# Hidden size, layers, heads; the feed-forward size is four times the hidden size.
_OPT = {
    "opt-125m": (768, 12, 12),
    "opt-350m": (1024, 24, 16),
    "opt-1.3b": (2048, 24, 32),
    "opt-2.7b": (2560, 32, 32),
    "opt-6.7b": (4096, 32, 32),
    "opt-13b": (5120, 40, 40),
    "opt-30b": (7168, 48, 56),
    "opt-66b": (9216, 64, 72),
    "opt-175b": (12288, 96, 96),
}
_ROBERTA = {"roberta-base": (768, 12, 12), "roberta-large": (1024, 24, 16)}
# Hidden size, layers, heads, heads of keys and values, feed-forward size.
_LLAMA = {"llama-2-7b": (4096, 32, 32, 32, 11008), "llama-2-13b": (5120, 40, 40, 40, 13824)}
_MISTRAL = {"mistral-7b": (4096, 32, 32, 8, 14336)}

OPT_MODELS = tuple(_OPT)
MODELS = (*_OPT, *_ROBERTA, *_LLAMA, *_MISTRAL)
"""The models known by name."""


def model_config(transformers: ModuleType, model: str | Path, length: int) -> Any:
    """Make or read the configuration of a model, for sequences of ``length`` tokens.

    Raises:
      ValueError: The model is unknown.
    """
    config = _known(transformers, str(model)) or _read(transformers, Path(model))
    if config.model_type == "mistral":
        # FlaxMistral builds a causal mask of max_position_embeddings² bytes, which is 1 GB for its
        # 32,768 positions. Fewer positions than the size of two heads would truncate its table of
        # sines and cosines, which is that wide.
        width = 2 * config.hidden_size // config.num_attention_heads
        config.max_position_embeddings = max(length, width)
    return config


def _known(transformers: ModuleType, model: str) -> Any:
    if model in _OPT:
        hidden, layers, heads = _OPT[model]
        small = model == "opt-350m"  # the only one with projections and post-normalisation
        return transformers.OPTConfig(
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            ffn_dim=4 * hidden,
            word_embed_proj_dim=512 if small else hidden,
            do_layer_norm_before=not small,
        )
    if model in _ROBERTA:
        hidden, layers, heads = _ROBERTA[model]
        return transformers.RobertaConfig(
            vocab_size=50_265,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            max_position_embeddings=514,
            type_vocab_size=1,
        )
    gated = {**_LLAMA, **_MISTRAL}
    if model not in gated:
        return None
    hidden, layers, heads, key_heads, inner = gated[model]
    sizes = {
        "vocab_size": 32_000,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "intermediate_size": inner,
    }
    if model in _LLAMA:
        return transformers.LlamaConfig(**sizes, max_position_embeddings=4096)
    return transformers.MistralConfig(**sizes, sliding_window=4096)


def _read(transformers: ModuleType, path: Path) -> Any:
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file() or file.suffix != ".json":
        raise ValueError(
            f"workload: model must be one of {', '.join(MODELS)}, a config.json or a folder with "
            f"one, got {str(path)!r}."
        )
    return transformers.AutoConfig.from_pretrained(file)

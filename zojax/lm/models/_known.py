"""The published configurations of models that are known by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zojax.lm.models._config import ModelConfig, read_config
from zojax.lm.models._files import EMBEDDED
from zojax.lm.models._hub_names import HUB_NAMES


def _opt(hidden: int, layers: int, heads: int, **others: Any) -> dict[str, Any]:
    return dict(
        model_type="opt",
        vocab_size=50_272,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        ffn_dim=4 * hidden,
        max_position_embeddings=2048,
        **others,
    )


def _roberta(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return dict(
        model_type="roberta",
        vocab_size=50_265,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )


def _gated(
    model_type: str,
    hidden: int,
    layers: int,
    heads: tuple[int, int],
    inner: int,
    vocabulary: int,
    longest: int,
    **others: Any,
) -> dict[str, Any]:
    """A model with ``heads`` of queries, and of keys and values."""
    return dict(
        model_type=model_type,
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        intermediate_size=inner,
        max_position_embeddings=longest,
        **others,
    )


def _llama3(
    hidden: int, layers: int, heads: tuple[int, int], inner: int, *, factor: float, **others: Any
) -> dict[str, Any]:
    scaling = dict(
        rope_type="llama3",
        factor=factor,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )
    base: dict[str, Any] = dict(rope_theta=5e5, rope_scaling=scaling, rms_norm_eps=1e-5)
    return _gated("llama", hidden, layers, heads, inner, 128_256, 131_072, **base, **others)


def _qwen3(
    hidden: int, layers: int, heads: tuple[int, int], inner: int, *, tied: bool
) -> dict[str, Any]:
    options: dict[str, Any] = dict(head_dim=128, rope_theta=1e6, tie_word_embeddings=tied)
    return _gated("qwen3", hidden, layers, heads, inner, 151_936, 40_960, **options)


def _gemma3(hidden: int, layers: int, heads: tuple[int, int], inner: int) -> dict[str, Any]:
    sizes = (hidden, layers, heads, inner, 262_144, 32_768)
    return _gated("gemma3_text", *sizes, sliding_window=512)


_MODELS: dict[str, dict[str, Any]] = {
    "opt-125m": _opt(768, 12, 12),
    # The only one with projections and post-normalisation.
    "opt-350m": _opt(1024, 24, 16, word_embed_proj_dim=512, do_layer_norm_before=False),
    "opt-1.3b": _opt(2048, 24, 32),
    "opt-2.7b": _opt(2560, 32, 32),
    "opt-6.7b": _opt(4096, 32, 32),
    "opt-13b": _opt(5120, 40, 40),
    "opt-30b": _opt(7168, 48, 56),
    "opt-66b": _opt(9216, 64, 72),
    "opt-175b": _opt(12288, 96, 96),
    "roberta-base": _roberta(768, 12, 12),
    "roberta-large": _roberta(1024, 24, 16),
    "llama-2-7b": _gated("llama", 4096, 32, (32, 32), 11_008, 32_000, 4096),
    "llama-2-13b": _gated("llama", 5120, 40, (40, 40), 13_824, 32_000, 4096),
    "llama-3.1-8b": _llama3(4096, 32, (32, 8), 14_336, factor=8.0),
    "llama-3.2-1b": _llama3(2048, 16, (32, 8), 8192, factor=32.0, tie_word_embeddings=True),
    "llama-3.2-3b": _llama3(3072, 28, (24, 8), 8192, factor=32.0, tie_word_embeddings=True),
    "mistral-7b": _gated("mistral", 4096, 32, (32, 8), 14_336, 32_000, 32_768, sliding_window=4096),
    "qwen2.5-0.5b": _gated(
        "qwen2", 896, 24, (14, 2), 4864, 151_936, 32_768, rope_theta=1e6, tie_word_embeddings=True
    ),
    "qwen2.5-7b": _gated("qwen2", 3584, 28, (28, 4), 18_944, 152_064, 131_072, rope_theta=1e6),
    "qwen3-0.6b": _qwen3(1024, 28, (16, 8), 3072, tied=True),
    "qwen3-8b": _qwen3(4096, 36, (32, 8), 12_288, tied=False),
    "gemma-2-2b": _gated("gemma2", 2304, 26, (8, 4), 9216, 256_000, 8192),
    "gemma-3-270m": _gemma3(640, 18, (4, 1), 2048),
    "gemma-3-1b": _gemma3(1152, 26, (4, 1), 6912),
}

MODELS = tuple(_MODELS)
"""The models known by name."""
_BY_HUB_NAME = {hub.lower(): name for name, hub in HUB_NAMES.items() if hub}
OPT_MODELS = tuple(name for name in _MODELS if name.startswith("opt-"))


def model_config(model: str | Path) -> ModelConfig:
    """Make or read the configuration of a model.

    Raises:
      ValueError: The model is unknown.
    """
    path = Path(model)
    if not path.is_dir():
        name = _BY_HUB_NAME.get(str(model).lower(), str(model))
        if name in _MODELS:
            return ModelConfig(_MODELS[name], str(model))
        path = EMBEDDED.get(name, path)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file() or file.suffix != ".json":
        raise ValueError(
            f"workload: model must be one of {', '.join((*EMBEDDED, *MODELS))}, the name of one of "
            f"these on the Hugging Face hub, a config.json or a folder with one, got "
            f"{str(model)!r}."
        )
    return read_config(file, str(file.parent))

"""Tiny random models of the four families, for every test that needs one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

_SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, pad_token_id=1)
_GATED = dict(intermediate_size=32, num_key_value_heads=1, tie_word_embeddings=False)
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "opt": ("OPTConfig", "FlaxOPTForCausalLM", dict(word_embed_proj_dim=16, ffn_dim=32)),
    "roberta": ("RobertaConfig", "FlaxRobertaForMaskedLM", dict(intermediate_size=32)),
    "llama": ("LlamaConfig", "FlaxLlamaForCausalLM", _GATED),
    "mistral": ("MistralConfig", "FlaxMistralForCausalLM", _GATED),
}


def flax_class(family: str) -> Any:
    """transformers' class, not by its top level, which warns that Flax ends with version 5."""
    from importlib import import_module

    module = import_module(f"transformers.models.{family}.modeling_flax_{family}")
    return getattr(module, FAMILIES[family][1])


def write_tiny_model(folder: Path, family: str, tokenizer: Any, **settings: Any) -> Path:
    """Write a random model with its tokenizer in transformers' layout."""
    import transformers

    config_class, _, own = FAMILIES[family]
    sizes = {
        "vocab_size": len(tokenizer), "max_position_embeddings": 48, **_SIZES, **own, **settings
    }  # fmt: skip
    config = getattr(transformers, config_class)(**sizes)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = flax_class(family)(config, _do_init=False)
    rng = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        return rng.normal(0.0, 0.3, leaf.shape).astype(np.float32)

    params = jax.tree.map(draw, model.params_shape_tree)
    model.save_pretrained(folder, params=params, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def masked_tokenizer_of(folder: Path) -> Any:
    """The tokenizer in ``folder`` with RoBERTa's special tokens."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        mask_token="<mask>",
    )

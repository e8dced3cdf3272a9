"""Tiny GGUF files of both architectures, written as llama.cpp writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, dequantize, quantize
from tokenizers.pre_tokenizers import ByteLevel

Change = Callable[[dict[str, Any], dict[str, Any]], Any]

_SHARED = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
NAMES = {
    "llama": {**_SHARED, "post_attention_layernorm": "ffn_norm"},
    "gemma3": {
        **_SHARED,
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    },
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# "1 2" never applies: digits stand alone.
MERGES = ["Ġ t", "h e", "Ġt he", "1 2", "Ġ Ġ", "ĠĠ Ġ", "' s", "Ċ Ċ", "ð Ł", "Ġ 1", "e l", "el l"]
TOKENS = SPECIAL + sorted(ByteLevel.alphabet()) + [merge.replace(" ", "") for merge in MERGES]
_BYTE_LEVEL: dict[str, Any] = {
    "add_space_prefix": False,
    "add_bos_token": False,
    "model": "gpt2",
    "pre": "smollm",
    "tokens": TOKENS,
    "token_type": [3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)),
    "merges": MERGES,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "unknown_token_id": 0,
    "padding_token_id": 2,
}
# SentencePiece's: its control tokens, user-defined tokens, bytes, and pieces, the best first.
CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>"]
USER_DEFINED = ["\n", "\n\n", "  ", "   ", "<b>", "\t"]
PIECES = [
    *("▁t", "he", "▁a", "▁the", "aa", "ll", "aaa", "hell", "▁▁x", "hello", "▁hello", "is", "it"),
    *("▁it", "th", "em", "▁theme", "日本", "ab", "aab", "12", "▁", "e", "a", "t", "h", "l", "o"),
    *("s", "i", "m", "b", "x", "1", "2", "3", "日", "本", ",", "."),
]  # fmt: skip
_SENTENCEPIECE: dict[str, Any] = {
    "model": "llama",
    "pre": "default",
    "tokens": [*CONTROL, *USER_DEFINED, *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES],
    "scores": [-1000.0] * (len(CONTROL) + len(USER_DEFINED))
    + [0.0] * 256
    + [-float(i) for i in range(len(PIECES))],
    "token_type": [3] * len(CONTROL) + [4] * len(USER_DEFINED) + [6] * 256 + [1] * len(PIECES),
    "bos_token_id": 2,
    "eos_token_id": 1,
    "unknown_token_id": 3,
    "padding_token_id": 0,
    "add_bos_token": True,
    "add_sep_token": False,
    "add_eos_token": False,
    "add_space_prefix": False,
}
TOKENIZERS = {"llama": _BYTE_LEVEL, "gemma3": _SENTENCEPIECE}
# transformers' family, and its sizes: whole blocks of 32 numbers are quantized.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": (
        "llama",
        dict(
            vocab_size=len(TOKENS), hidden_size=32, intermediate_size=64,
            num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
        ),
    ),
    "gemma3": (
        "gemma3_text",
        dict(
            vocab_size=len(_SENTENCEPIECE["tokens"]), hidden_size=32, intermediate_size=64,
            num_attention_heads=4, num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=8,
            rope_theta=1e6, tie_word_embeddings=True,
        ),
    ),
}  # fmt: skip


def write_gguf(file: Path, architecture: str, model: Any, change: Change | None = None) -> None:
    """Write a PyTorch model as llama.cpp does, and give the model the quantized weights."""
    settings = _settings(architecture, model.config)
    metadata = {
        "general.architecture": architecture,
        **{f"{architecture}.{name}": value for name, value in settings.items()},
        **{f"tokenizer.ggml.{name}": value for name, value in TOKENIZERS[architecture].items()},
        "tokenizer.chat_template": "{{ messages[0]['content'] }}",
    }
    tensors = dict(_tensors(architecture, model))
    if change is not None:
        change(metadata, tensors)
    writer = GGUFWriter(file, metadata.pop("general.architecture"))
    for name, value in metadata.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, GGUFValueType.get_type(value))
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _settings(architecture: str, config: Any) -> dict[str, Any]:
    shared = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "rope.freq_base": config.rope_theta,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
    }
    if architecture == "llama":
        size = config.hidden_size // config.num_attention_heads
        return {**shared, "vocab_size": config.vocab_size, "rope.dimension_count": size}
    return {
        **shared,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.sliding_window": config.sliding_window,
    }


def _tensors(architecture: str, model: Any) -> Any:
    import torch

    config = model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        stem = name.removesuffix(".weight")
        if stem.startswith("model.layers."):
            _, _, layer, stem = stem.split(".", 3)
            target = f"blk.{layer}.{NAMES[architecture][stem]}.weight"
        else:
            target = f"{NAMES[architecture][stem]}.weight"
        kind = GGMLQuantizationType.Q4_1 if "blk." in target else GGMLQuantizationType.Q8_0
        kind = kind if parameter.ndim == 2 else GGMLQuantizationType.F32
        # llama.cpp adds Gemma's 1 to the scales of norms as it writes them.
        added = np.float32(architecture == "gemma3" and parameter.ndim == 1)
        quantized = quantize(parameter.detach().numpy() + added, kind)
        exact = dequantize(quantized, kind) - added
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(exact.copy()))
        last = stem.split(".")[-1]
        if architecture == "llama" and last in heads:
            # Row i of a head's first half goes to 2i, of its second half to 2i + 1.
            half = exact.shape[0] // heads[last] // 2
            order = [
                head * 2 * half + part * half + i
                for head in range(heads[last])
                for i in range(half)
                for part in range(2)
            ]
            quantized = quantized[order]
        yield target, (quantized, kind)

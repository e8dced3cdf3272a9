"""Reads a LLaMA from a GGUF file, llama.cpp's format: configuration, weights and tokenizer.

Everything is read from the file itself. Settings and weights that this module does not know are
refused: ignoring one would silently change the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zojax.lm.models._config import ModelConfig
from zojax.lm.models._tokenizer import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFReader

# Names of settings in the metadata of GGUF -> in transformers.
_SETTINGS = {
    "llama.attention.head_count": "num_attention_heads",
    "llama.attention.head_count_kv": "num_key_value_heads",
    "llama.attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "llama.block_count": "num_hidden_layers",
    "llama.context_length": "max_position_embeddings",
    "llama.embedding_length": "hidden_size",
    "llama.feed_forward_length": "intermediate_size",
    "llama.rope.dimension_count": "head_dim",
    "llama.rope.freq_base": "rope_theta",
    "llama.vocab_size": "vocab_size",
}
# Names of weights in llama.cpp -> in transformers. Names of a layer's weights begin with "blk.N.".
_WEIGHTS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER_WEIGHTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# The tokenizer's settings that decide how a text is split into tokens, and their supported values.
_TOKENIZATION = {
    "model": "gpt2",  # byte-level byte-pair encoding
    "pre": "smollm",  # splits off every digit, then splits by GPT-2's pattern
    "add_space_prefix": False,
    "add_bos_token": False,
}
_SPECIAL_TOKENS = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
# llama.cpp's types of tokens.
_NORMAL, _CONTROL = 1, 3
_REQUIRED = {f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges")} | {
    f"tokenizer.ggml.{name}" for name in _SPECIAL_TOKENS.values()
}


class GgufModel(NamedTuple):
    """The content of a GGUF file, with transformers' names.

    Attributes:
      config: The configuration. The head is tied to the embedding if the file has no head.
      tokenizer: The tokenizer, which adds no tokens before or after a text.
      tensors: The weights, one in memory at a time: each one's name in transformers' PyTorch model,
        and its float32 array.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    tensors: Iterator[tuple[str, np.ndarray]]


def read(file: Path) -> GgufModel:
    """Read a GGUF file of a LLaMA with SmolLM's tokenizer.

    Weights may have any quantisation that the package ``gguf`` can dequantise.

    Args:
      file: The file's path.

    Cost: the file is memory-mapped, not read. gguf reads the vocabulary token by token, which takes
      seconds for 50,000 tokens.

    Raises:
      ImportError: ``gguf`` is not installed.
      ValueError: The file has another architecture, another tokenizer, or an unknown setting or
        weight.
    """
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError as error:
        raise ImportError(f"load: {file} needs the package gguf: pip install gguf.") from error
    reader = GGUFReader(file)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    _expect(metadata, "general.architecture", "llama", file)
    lacking = _REQUIRED - metadata.keys()
    if lacking:
        raise ValueError(f"load: {file} lacks the metadata {', '.join(sorted(lacking))}.")
    names = {tensor.name: _name(tensor.name, file) for tensor in reader.tensors}
    config = _config(metadata, tied="output.weight" not in names, file=file)
    return GgufModel(config, _tokenizer(metadata, file), _tensors(reader, names, config, file))


def _config(metadata: Mapping[str, Any], tied: bool, file: Path) -> ModelConfig:
    given = {name: value for name, value in metadata.items() if name.startswith("llama.")}
    if given.keys() != _SETTINGS.keys():
        missing, unknown = _SETTINGS.keys() - given.keys(), given.keys() - _SETTINGS.keys()
        raise ValueError(
            f"load: a LLaMA's settings must be {', '.join(_SETTINGS)}, got "
            f"{', '.join(sorted(unknown)) or 'nothing'} besides, and "
            f"{', '.join(sorted(missing)) or 'nothing'} missing, in {file}. Choose another file."
        )
    settings = {_SETTINGS[name]: value for name, value in given.items()}
    size, heads = settings["hidden_size"], settings["num_attention_heads"]
    if settings["head_dim"] * heads != size:
        raise ValueError(
            f"load: llama.rope.dimension_count must be {size} / {heads}, so that all features of a "
            f"head are rotated, got {settings['head_dim']} in {file}. Choose another file."
        )
    special = {
        f"{token}_id": metadata[f"tokenizer.ggml.{name}"]
        for token, name in _SPECIAL_TOKENS.items()
        if token != "unk_token"
    }
    values = {"model_type": "llama", "tie_word_embeddings": tied, **settings, **special}
    return ModelConfig({name: _plain(value) for name, value in values.items()}, str(file))


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python's, which JSON can have."""
    return value.item() if isinstance(value, np.generic) else value


def _tensors(
    reader: GGUFReader, names: Mapping[str, str], config: ModelConfig, file: Path
) -> Iterator[tuple[str, np.ndarray]]:
    from gguf import dequantize

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for tensor in reader.tensors:
        try:
            weight = dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise ValueError(
                f"load: {tensor.name} must have a quantisation that the package gguf supports, got "
                f"{tensor.tensor_type.name} in {file}. Choose another file."
            ) from error
        kind = tensor.name.split(".")[-2]
        yield names[tensor.name], _unpermute(weight, heads[kind]) if kind in heads else weight


def _unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Permute the rows [heads · D, H] of a key or query weight into transformers' order.

    llama.cpp rotates features 2i and 2i + 1 as a pair, transformers features i and i + D / 2.
    """
    pairs = weight.reshape(heads, -1, 2, weight.shape[-1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def _name(name: str, file: Path) -> str:
    """Translate a weight's name from llama.cpp to transformers."""
    known, prefix, stem = _WEIGHTS, "", name.removesuffix(".weight")
    if stem.startswith("blk."):
        _, layer, stem = stem.split(".", 2)
        known, prefix = _LAYER_WEIGHTS, f"model.layers.{layer}."
    if stem not in known or not name.endswith(".weight"):
        raise ValueError(
            f"load: a LLaMA's weights must be among {', '.join((*_WEIGHTS, *_LAYER_WEIGHTS))}, got "
            f"{name} in {file}. Choose another file."
        )
    return f"{prefix}{known[stem]}.weight"


def _tokenizer(metadata: Mapping[str, Any], file: Path) -> Tokenizer:
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    for name, value in _TOKENIZATION.items():
        _expect(metadata, f"tokenizer.ggml.{name}", value, file)
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata["tokenizer.ggml.token_type"]
    if not {*types} <= {_NORMAL, _CONTROL}:
        raise ValueError(
            f"load: the types of tokens must be {_NORMAL} (normal) or {_CONTROL} (control), got "
            f"{sorted({*types})} in {file}. Choose another file."
        )
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Backend(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, types, strict=True)
            if kind == _CONTROL
        ]
    )
    special = {
        token.removesuffix("_token"): tokens[metadata[f"tokenizer.ggml.{name}"]]
        for token, name in _SPECIAL_TOKENS.items()
    }
    return Tokenizer(tokenizer, special, metadata.get("tokenizer.chat_template"))


def _expect(metadata: Mapping[str, Any], name: str, value: Any, file: Path) -> None:
    if metadata.get(name) != value:
        raise ValueError(
            f"load: {name} must be {value!r}, got {metadata.get(name)!r} in {file}. Choose another "
            "file."
        )

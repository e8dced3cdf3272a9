"""Reads a model from a GGUF file, llama.cpp's format: configuration, weights and tokenizer.

Everything is read from the file itself. Settings and weights that this module does not know are
refused: ignoring one would silently change the logits.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zojax.lm.models import _packages
from zojax.lm.models._config import ModelConfig
from zojax.lm.models._gguf_file import GgufTensor, read_file
from zojax.lm.models._gguf_tokenizer import SPECIAL_TOKENS, read_tokenizer
from zojax.lm.models._tokenizer import Tokenizer

SUFFIX = ".gguf"
# Settings of every architecture, without its name before them -> transformers' names.
_SETTINGS = {
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "rope.freq_base": "rope_theta",
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
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Architecture:
    """What llama.cpp calls an architecture, and how it differs from transformers' family.

    Attributes:
      family: transformers' ``model_type``.
      settings: Settings besides those that all have, without the architecture's name ->
        transformers' names.
      derived: Settings of transformers -> from the others, with which llama.cpp's code agrees; and
        what must not differ, by raising a ValueError.
      layer_weights: Weights of a layer besides those that all have -> transformers' names.
      permuted: Whether the rows of keys and queries are in llama.cpp's order.
      added: What llama.cpp adds to the scales of norms as it writes them.
    """

    family: str
    settings: Mapping[str, str]
    derived: Callable[[dict[str, Any], Path], dict[str, Any]]
    layer_weights: Mapping[str, str]
    permuted: bool = False
    added: float = 0.0


def _llama(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    size, heads = settings["hidden_size"], settings["num_attention_heads"]
    if settings["head_dim"] * heads != size:
        raise ValueError(
            f"load: llama.rope.dimension_count must be {size} / {heads}, so that all features of a "
            f"head are rotated, got {settings['head_dim']} in {file}. Choose another file."
        )
    return {}


def _gemma3(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    size = settings["head_dim"]
    if settings.pop("value_length") != size:
        raise ValueError(
            f"load: gemma3.attention.value_length must be gemma3.attention.key_length, {size}, in "
            f"{file}. Choose another file."
        )
    layers = range(1, settings["num_hidden_layers"] + 1)
    return {
        "query_pre_attn_scalar": size,
        "rope_local_base_freq": 1e4,
        "layer_types": ["sliding_attention" if i % 6 else "full_attention" for i in layers],
        "hidden_activation": "gelu_pytorch_tanh",
    }


_ARCHITECTURES = {
    "llama": Architecture(
        "llama",
        {"rope.dimension_count": "head_dim", "vocab_size": "vocab_size"},
        _llama,
        {"ffn_norm": "post_attention_layernorm"},
        permuted=True,
    ),
    # Those from 4B on have scaled positions, which are refused as an unknown setting.
    "gemma3": Architecture(
        "gemma3_text",
        {
            "attention.key_length": "head_dim",
            "attention.value_length": "value_length",
            "attention.sliding_window": "sliding_window",
        },
        _gemma3,
        {
            "attn_q_norm": "self_attn.q_norm",
            "attn_k_norm": "self_attn.k_norm",
            "post_attention_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
        added=1.0,
    ),
}


class GgufModel(NamedTuple):
    """The content of a GGUF file, with transformers' names.

    Attributes:
      config: The configuration. The head is tied to the embedding if the file has no head.
      tokenizer: The tokenizer.
      tensors: The weights, one in memory at a time: each one's name in transformers' PyTorch model,
        and its float32 array.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    tensors: Iterator[tuple[str, np.ndarray]]


def find_files(name_or_folder: str | Path) -> list[Path]:
    """The parts of a GGUF file that is meant, or nothing. A folder of a model's name goes first."""
    path = Path(name_or_folder)
    if path.suffix == SUFFIX and path.is_file():
        return [path]
    if str(name_or_folder) in _packages.PACKAGES and not path.is_dir():
        return _packages.files(str(name_or_folder))
    return []


def read(files: Sequence[Path]) -> GgufModel:
    """Read a GGUF file of a LLaMA with SmolLM's tokenizer, or of a Gemma 3 (text).

    Weights may have any quantization that the package ``gguf`` can dequantize.

    Args:
      files: The file, or its parts in their order.

    Cost: see :func:`~zojax.lm.models._gguf_file.read_file`.

    Raises:
      ImportError: ``gguf`` is not installed.
      ValueError: The file is damaged, or has another architecture, another tokenizer, or an unknown
        setting or weight.
    """
    file = files[0]
    try:
        importlib.import_module("gguf")
    except ModuleNotFoundError as error:
        raise ImportError(f"load: {file} needs the package gguf: pip install gguf.") from error
    metadata, tensors = read_file(files)
    name = metadata.get("general.architecture")
    if name not in _ARCHITECTURES:
        raise ValueError(
            f"load: general.architecture must be one of {', '.join(_ARCHITECTURES)}, got "
            f"{name!r} in {file}. Choose another file."
        )
    kind = _ARCHITECTURES[name]
    tokenizer = read_tokenizer(metadata, file)
    names = {tensor.name: _name(tensor.name, kind, name, file) for tensor in tensors}
    settings = _settings(metadata, kind, name, file)
    # Not that of the tokenizer, which may lack the last rows of the embedding.
    vocabulary = {tensor.name: len(tensor.data) for tensor in tensors}.get("token_embd.weight")
    config = {
        "model_type": kind.family,
        "vocab_size": vocabulary,
        "tie_word_embeddings": "output.weight" not in names,
        **settings,
        **{
            f"{token}_token_id": metadata[f"tokenizer.ggml.{setting}"]
            for token, setting in SPECIAL_TOKENS.items()
            if token != "unk"
        },
    }
    heads = {"attn_q": settings["num_attention_heads"], "attn_k": settings["num_key_value_heads"]}
    return GgufModel(
        ModelConfig(config, str(file)),
        tokenizer,
        _tensors(tensors, names, kind, heads if kind.permuted else {}, file),
    )


def _settings(
    metadata: Mapping[str, Any], kind: Architecture, name: str, file: Path
) -> dict[str, Any]:
    known = {f"{name}.{setting}": new for setting, new in {**_SETTINGS, **kind.settings}.items()}
    given = {setting: x for setting, x in metadata.items() if setting.startswith(f"{name}.")}
    if given.keys() != known.keys():
        missing, unknown = known.keys() - given.keys(), given.keys() - known.keys()
        raise ValueError(
            f"load: the settings of the architecture {name} must be {', '.join(known)}, got "
            f"{', '.join(sorted(unknown)) or 'nothing'} besides, and "
            f"{', '.join(sorted(missing)) or 'nothing'} missing, in {file}. Choose another file."
        )
    settings = {known[setting]: x for setting, x in given.items()}
    return settings | kind.derived(settings, file)


def _tensors(
    tensors: Sequence[GgufTensor],
    names: Mapping[str, str],
    kind: Architecture,
    heads: Mapping[str, int],
    file: Path,
) -> Iterator[tuple[str, np.ndarray]]:
    from gguf import dequantize

    for tensor in tensors:
        try:
            weight = dequantize(tensor.data, tensor.kind)
        except NotImplementedError as error:
            raise ValueError(
                f"load: {tensor.name} must have a quantization that the package gguf supports, got "
                f"{tensor.kind.name} in {file}. Choose another file."
            ) from error
        part = tensor.name.split(".")[-2]
        if part in heads:
            weight = _unpermute(weight, heads[part])
        if part.endswith("norm"):
            weight = weight - np.float32(kind.added)
        yield names[tensor.name], weight


def _unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Permute the rows [heads · D, H] of a key or query weight into transformers' order.

    llama.cpp rotates features 2i and 2i + 1 as a pair, transformers features i and i + D / 2.
    """
    pairs = weight.reshape(heads, -1, 2, weight.shape[-1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def _name(name: str, kind: Architecture, architecture: str, file: Path) -> str:
    """Translate a weight's name from llama.cpp to transformers."""
    layers = {**_LAYER_WEIGHTS, **kind.layer_weights}
    known, prefix, stem = _WEIGHTS, "", name.removesuffix(".weight")
    if stem.startswith("blk."):
        _, layer, stem = stem.split(".", 2)
        known, prefix = layers, f"model.layers.{layer}."
    if stem not in known or not name.endswith(".weight"):
        raise ValueError(
            f"load: the weights of the architecture {architecture} must be among "
            f"{', '.join((*_WEIGHTS, *layers))}, got {name} in {file}. Choose another file."
        )
    return f"{prefix}{known[stem]}.weight"

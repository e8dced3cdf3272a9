"""Tiny random models of the families, for every test that needs one; written by zojax alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, pad_token_id=1)
_GATED = dict(intermediate_size=32, num_key_value_heads=1, tie_word_embeddings=False)
FAMILIES: dict[str, dict[str, Any]] = {
    "opt": dict(word_embed_proj_dim=16, ffn_dim=32),
    "roberta": dict(intermediate_size=32),
    "llama": _GATED,
    "mistral": _GATED,
    "qwen3": dict(**_GATED, head_dim=8),
    "gemma3_text": dict(**_GATED, head_dim=8, sliding_window=8),
}


def write_tiny_model(folder: Path, family: str, tokenizer: Any, **settings: Any) -> Path:
    """Write a random model with its tokenizer in transformers' layout."""
    from flax.traverse_util import flatten_dict, unflatten_dict

    from zojax.lm.models._config import ModelConfig
    from zojax.lm.models._families import FAMILIES as KINDS
    from zojax.lm.models._names import Names
    from zojax.lm.models._network import Network
    from zojax.lm.models._save import Writer
    from zojax.lm.models._transformer import Transformer

    kind = KINDS[family]
    values = {
        "architectures": [kind.architecture],
        "model_type": family,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 48,
        **_SIZES,
        **FAMILIES[family],
        **settings,
    }
    config = kind.config(ModelConfig(values, str(folder)))
    shapes: dict[Any, Any] = flatten_dict(Network(Transformer(config), family).shapes())
    rng = np.random.default_rng(0)
    leaves = {path: rng.normal(0.0, 0.3, leaf.shape) for path, leaf in shapes.items()}
    params = unflatten_dict({path: leaf.astype(np.float32) for path, leaf in leaves.items()})
    folder.mkdir(parents=True, exist_ok=True)
    Writer(Names(shapes, kind.modules).places, values, None)(params, folder)
    tokenizer.save_pretrained(folder)
    return folder


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer in ``folder``."""
    from zojax.lm.models._tokenizer import read_tokenizer

    return read_tokenizer(str(folder))


def masked_tokenizer_of(folder: Path) -> Any:
    """The tokenizer in ``folder`` with RoBERTa's special tokens."""
    from tokenizers import Tokenizer as Backend

    from zojax.lm.models import Tokenizer

    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens(["<mask>"])
    return Tokenizer(backend, dict(bos="<s>", eos="</s>", pad="<pad>", mask="<mask>"))


def spaced_tokenizer() -> Any:
    """A tokenizer of SentencePiece's kind, as LLaMA has: it puts a space before every text."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers

    from zojax.lm.models import Tokenizer

    letters = "▁.,:?abcdefghijklmnopqrstuvwxyzIQT"
    pieces = [*"▁", "▁It", "▁was", "▁great", "▁terrible", "great", "▁film", "film", *letters[1:]]
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    vocabulary = {p: i for i, p in enumerate(["<unk>", "<s>", "</s>", *bytes_, *pieces])}
    merges: list[tuple[str, str]] = []
    for piece in ("▁It", "▁was", "▁film", "▁great", "▁terrible"):
        for end in range(2, len(piece) + 1):
            left, right = piece[: end - 1], piece[end - 1]
            vocabulary.setdefault(left + right, len(vocabulary))
            merges.append((left, right))
    model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    raw = Backend(model)
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    raw.add_special_tokens(["<s>", "</s>", "<unk>"])
    return Tokenizer(raw, dict(bos="<s>", eos="</s>", unk="<unk>"))

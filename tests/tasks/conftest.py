"""Tokenizers and examples for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast


@pytest.fixture(scope="session")
def tokenizer(tiny_opt: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_opt)


@pytest.fixture(scope="session")
def masked_tokenizer(tiny_opt: Path) -> PreTrainedTokenizerBase:
    """The same with RoBERTa's special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(tiny_opt / "tokenizer.json"),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        mask_token="<mask>",
    )


@pytest.fixture(scope="session")
def tiny_roberta(
    masked_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a random RoBERTa of one layer and its tokenizer, in transformers' layout."""
    from transformers import RobertaConfig
    from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaForMaskedLM

    config = RobertaConfig(
        vocab_size=len(masked_tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=50,
        type_vocab_size=1,
        pad_token_id=1,
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = FlaxRobertaForMaskedLM(config, _do_init=False)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda shape: rng.normal(0.0, 0.3, shape.shape).astype(np.float32),
        model.params_shape_tree,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    model.save_pretrained(folder, params=params, safe_serialization=True)
    masked_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def spaced_tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer of SentencePiece's kind, as LLaMA has: it puts a space before every text."""
    from tokenizers import Tokenizer, decoders, models, normalizers

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
    raw = Tokenizer(model)
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )

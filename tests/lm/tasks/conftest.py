"""Tokenizers and examples for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import masked_tokenizer_of, tokenizer_of, write_tiny_model

from zojax.lm.models import Tokenizer


@pytest.fixture(scope="session")
def tokenizer(tiny_opt: Path) -> Tokenizer:
    return tokenizer_of(tiny_opt)


@pytest.fixture(scope="session")
def masked_tokenizer(tiny_opt: Path) -> Tokenizer:
    """The same with RoBERTa's special tokens."""
    return masked_tokenizer_of(tiny_opt)


@pytest.fixture(scope="session")
def tiny_roberta(masked_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random RoBERTa of one layer and its tokenizer, in transformers' layout."""
    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    sizes = dict(num_hidden_layers=1, max_position_embeddings=50, type_vocab_size=1)
    return write_tiny_model(folder, "roberta", masked_tokenizer, **sizes)


@pytest.fixture(scope="session")
def spaced_tokenizer() -> Tokenizer:
    """A tokenizer of SentencePiece's kind, as LLaMA has: it puts a space before every text."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers

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

"""Tokenizers and examples for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import masked_tokenizer_of, spaced_tokenizer, tokenizer_of, write_tiny_model

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


@pytest.fixture(scope="session", name="spaced_tokenizer")
def make_spaced_tokenizer() -> Tokenizer:
    return spaced_tokenizer()

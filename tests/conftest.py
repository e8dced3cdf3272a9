"""Set JAX up for every test, before anything starts a backend."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The tests' device is the CPU, split in eight so that sharding can be tested anywhere. Naming the
# platform also keeps the CUDA plugin, which planning needs, from looking for a card.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8"]
).strip()

import jax
import pytest
from sets import pytest_collection_modifyitems, pytest_runtest_setup
from tiny_models import write_tiny_model

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_setup"]

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="module", autouse=True)
def collect_once() -> Iterator[None]:
    """Keep the garbage collector from walking again and again through what JAX has cached."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def standard_promotion() -> Iterator[None]:
    """Lift strict dtype promotion around transformers' models, which mix bool, int and float."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def a_device_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the test starts have one device, and no torch, which takes seconds to import.

    Other flags stay: with other instructions their bits would be others.
    """
    flags = os.environ["XLA_FLAGS"].split()
    flags.remove("--xla_force_host_platform_device_count=8")
    monkeypatch.setenv("XLA_FLAGS", " ".join(flags))
    monkeypatch.setenv("USE_TORCH", "0")


@pytest.fixture(scope="session")
def tiny_opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random OPT of one layer and its tokenizer, in transformers' layout."""
    return write_tiny_opt(tmp_path_factory.mktemp("models") / "tiny-opt")


@pytest.fixture(scope="session")
def untied_opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an LM head of its own, and projections around narrower embeddings."""
    folder = tmp_path_factory.mktemp("models") / "untied-opt"
    return write_tiny_opt(folder, tie_word_embeddings=False, word_embed_proj_dim=8)


def write_tiny_opt(folder: Path, **settings: Any) -> Path:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    from zojax.lm.models import Tokenizer

    # Label words of one token (great, terrible), and of several (abysmal).
    bpe = Backend(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["a film. It was great", "a story. It was terrible"] * 9, trainer)
    tokenizer = Tokenizer(bpe, dict(bos="</s>", eos="</s>", pad="<pad>"))
    sizes = dict(num_hidden_layers=1, bos_token_id=2, eos_token_id=2)
    return write_tiny_model(folder, "opt", tokenizer, **sizes, **settings)

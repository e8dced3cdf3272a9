"""GGUF files: the logits, the configuration, what is refused, and what is damaged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf_files import MODELS, TOKENS, Change, write_gguf

import zojax.lm.models

torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")

both = pytest.mark.parametrize("architecture", MODELS)
Write = Callable[..., tuple[Path, Any]]


@pytest.fixture
def write(write_model: Any, tmp_path: Path) -> Write:
    """``(architecture, change=None, **settings) -> file, PyTorch model``."""

    def write(architecture: str, change: Change | None = None, **settings: Any) -> tuple[Path, Any]:
        family, sizes = MODELS[architecture]
        _, model = write_model(family, **{**sizes, **settings})
        file = tmp_path / "tiny.gguf"
        write_gguf(file, architecture, model, change)
        return file, model

    return write


def logits(model: zojax.lm.models.LanguageModel, ids: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(model.apply)(model.params, ids, np.ones_like(ids)))


def random_ids() -> np.ndarray:
    return np.random.default_rng(0).integers(0, len(TOKENS), (2, 12)).astype(np.int32)


@pytest.mark.parametrize(
    ("architecture", "tied"), [("llama", True), ("llama", False), ("gemma3", True)]
)
def test_logits_are_those_of_the_model_written(write: Write, architecture: str, tied: bool):
    file, theirs = write(architecture, tie_word_embeddings=tied)
    model = zojax.lm.models.load(file)
    assert ("lm_head" in model.params) is not tied
    with torch.no_grad():
        expected = theirs(torch.from_numpy(random_ids()).long()).logits.numpy()
    np.testing.assert_allclose(logits(model, random_ids()), expected, atol=1e-4)


@both
def test_the_configuration_is_the_files(write: Write, architecture: str):
    file, theirs = write(architecture)
    model = zojax.lm.models.load(file)
    config = model.config
    names = ["num_hidden_layers", "max_position_embeddings", "rope_theta", *MODELS[architecture][1]]
    if architecture == "gemma3":
        names += ["layer_types", "sliding_window", "rope_local_base_freq", "hidden_activation"]
    for name in names:
        assert getattr(config, name) == getattr(theirs.config, name), name
    assert config.rms_norm_eps == np.float32(theirs.config.rms_norm_eps)
    tokenizer = model.tokenizer
    assert config.bos_token_id == tokenizer.bos_token_id
    assert config.eos_token_id == tokenizer.eos_token_id
    assert config.pad_token_id == tokenizer.pad_token_id


@both
def test_the_dtype_is_the_one_asked_for(write: Write, architecture: str):
    model = zojax.lm.models.load(write(architecture)[0], dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {np.dtype("bfloat16")}


@both
def test_a_saved_model_is_the_same(write: Write, architecture: str, tmp_path: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = zojax.lm.models.load(write(architecture)[0])
    model.save(model.params, tmp_path / "saved")
    again = zojax.lm.models.load(tmp_path / "saved")
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    np.testing.assert_array_equal(logits(again, random_ids()), logits(model, random_ids()))
    assert again.config.bos_token_id == model.config.bos_token_id
    assert again.tokenizer.special_tokens == model.tokenizer.special_tokens
    assert again.tokenizer.chat_template == model.tokenizer.chat_template
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(random_ids()).long()).logits.numpy()
    np.testing.assert_allclose(logits(model, random_ids()), expected, atol=1e-4)
    their_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for text in ["the  theme, hello\n\n 12", "日本 naïve 👍🏽", " a"]:
        ids = model.tokenizer(text)["input_ids"]
        assert again.tokenizer(text)["input_ids"] == ids
        assert their_tokenizer(text)["input_ids"] == ids
    chat = [{"role": "user", "content": "the"}]
    assert their_tokenizer.apply_chat_template(chat, tokenize=False) == "the"


def _set(name: str, value: Any) -> Change:
    return lambda metadata, tensors: metadata.update({name: value})


def _drop(name: str) -> Change:
    return lambda metadata, tensors: metadata.pop(name)


def _tensor(name: str, kind: GGMLQuantizationType = GGMLQuantizationType.F32) -> Change:
    data = np.ones(4, np.float32 if kind == GGMLQuantizationType.F32 else np.float64)
    return lambda metadata, tensors: tensors.update({name: (data, kind)})


def _without(name: str) -> Change:
    return lambda metadata, tensors: tensors.pop(name)


LLAMA, GEMMA = "llama", "gemma3"


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        (LLAMA, _set("general.architecture", "qwen2"), "must be one of llama, gemma3, got 'qwen2'"),
        (LLAMA, _set("llama.rope.scaling.type", "yarn"), "got llama.rope.scaling.type besides, an"),
        (GEMMA, _set("gemma3.rope.scaling.factor", 8.0), "got gemma3.rope.scaling.factor besides"),
        (LLAMA, _drop("llama.rope.freq_base"), "got nothing besides.* llama.rope.freq_base missin"),
        (GEMMA, _drop("gemma3.attention.key_length"), "nothing besides.*key_length missing, in"),
        (GEMMA, _set("gemma3.attention.value_length", 4), "must be gemma3.attention.key_length, 8"),
        (LLAMA, _set("llama.rope.dimension_count", 8), "must be 32 / 2, .* got 8 in"),
        (LLAMA, _set("tokenizer.ggml.model", "bert"), "must be one of gpt2, llama, got 'bert'"),
        (LLAMA, _set("tokenizer.ggml.pre", "qwen2"), "ggml.pre must be 'smollm', got 'qwen2'"),
        (LLAMA, _set("tokenizer.ggml.add_bos_token", True), "add_bos_token must be False, got Tru"),
        (GEMMA, _set("tokenizer.ggml.add_eos_token", True), "must be False or None, got True"),
        (GEMMA, _set("tokenizer.ggml.add_space_prefix", True), "space_prefix must be False, got T"),
        (GEMMA, _set("tokenizer.ggml.precompiled_charsmap", [1]), "got tokenizer.ggml.precomp"),
        (LLAMA, _drop("tokenizer.ggml.merges"), "tiny.gguf lacks the metadata tokenizer.ggml.mer"),
        (GEMMA, _drop("tokenizer.ggml.scores"), "tiny.gguf lacks the metadata tokenizer.ggml.sco"),
        (LLAMA, _set("tokenizer.ggml.token_type", [4] * len(TOKENS)), "types of tokens.*got .4. i"),
        (LLAMA, _tensor("rope_freqs.weight"), "weights .* must be among .*, got rope_freqs.weight"),
        (GEMMA, _tensor("blk.0.attn_q.bias"), "weights .* must be among .*, got blk.0.attn_q.bias"),
        (LLAMA, _tensor("output_norm.weight", GGMLQuantizationType.F64), "norm.weight.* got F64 i"),
        (LLAMA, _without("blk.1.ffn_up.weight"), "lacks 1 weights; .*layers.1.mlp.up_proj"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(
    write: Write, architecture: str, change: Change, message: str
):
    file, _ = write(architecture, change)
    with pytest.raises(ValueError, match=f"^load: .*{message}"):
        zojax.lm.models.load(file)


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.02, 30])
def test_a_truncated_file_is_refused(write: Write, kept: float):
    file, _ = write("llama")
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(ValueError, match=r"^load: .*tiny\.gguf is truncated or damaged.*Copy it"):
        zojax.lm.models.load(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and more", b"GGUF\x01\x00\x00\x00"])
def test_another_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "other.gguf").write_bytes(content)
    with pytest.raises(ValueError, match=r"^load: .*other\.gguf must begin with b'GGUF' and a ver"):
        zojax.lm.models.load(tmp_path / "other.gguf")


def test_without_gguf_the_error_says_how_to_get_it(write: Write, monkeypatch: pytest.MonkeyPatch):
    file, _ = write("llama")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r"^load: .*tiny\.gguf needs .*pip install gguf"):
        zojax.lm.models.load(file)

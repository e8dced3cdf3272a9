"""Saved folders, read by transformers' PyTorch classes of the version that is installed.

Version 4.57 is in the environment of the other tests; .ci/run runs this file with version 5 too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_compile import quick_jit
from safetensors.numpy import load_file, save_file
from sets import slow_except

import zojax.lm.models
from zojax.lm.models import LanguageModel, _save

torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")
transformers = pytest.importorskip("transformers", reason="needs transformers, the other reader")

FAMILIES = ["opt", "roberta", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"]
LENGTHS = np.array([24, 13, 1])
MASK = (np.arange(24) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR = {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}
YARN = {**LINEAR, "rope_type": "yarn", "original_max_position_embeddings": 10}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in FAMILIES},
    **{f"{f} tied": (f, {"tie_word_embeddings": True}) for f in FAMILIES if f not in ("opt",)},
    **{
        f"{f} untied": (f, {"tie_word_embeddings": False})
        for f in ("opt", "roberta", "gemma2", "gemma3_text")
    },
    "opt like 350m": ("opt", {"word_embed_proj_dim": 8, "do_layer_norm_before": False}),
    "llama 3.1": ("llama", {"rope": LLAMA3}),
    "llama linear": ("llama", {"rope": LINEAR, "attention_bias": True, "mlp_bias": True}),
    "mistral with a window": ("mistral", {"sliding_window": 7}),
    "qwen2 yarn": ("qwen2", {"rope": YARN}),
    "qwen2 sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    ),
}


def written(write_model: Any, family: str, settings: dict[str, Any]) -> Path:
    """A folder of the installed transformers, in which it spells rotary positions its own way."""
    settings = dict(settings)
    rope = settings.pop("rope", None)
    if rope is not None and transformers.__version__.startswith("4."):
        scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
        settings |= {"rope_theta": rope["rope_theta"], "rope_scaling": scaling}
    elif rope is not None:
        settings["rope_parameters"] = rope
    return write_model(family, **settings)[0]


def moved(params: Any) -> Any:
    """Other values than those that were loaded."""
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.01, leaf.dtype), params)


def logits(model: LanguageModel, params: Any) -> np.ndarray:
    return np.asarray(quick_jit(model.apply)(params, IDS, MASK))


def read(folder: Path, **options: Any) -> Any:
    """The PyTorch model, of which every tensor is in the file and no other one is."""
    kind = transformers.AutoModelForCausalLM
    if "Masked" in json.loads((folder / "config.json").read_text())["architectures"][0]:
        kind = transformers.AutoModelForMaskedLM
    # PyTorch's fused attention leaves out Gemma 2's cap in version 4.57.
    options = {"attn_implementation": "eager", "output_loading_info": True, **options}
    model, info = kind.from_pretrained(folder, **options)
    assert not {name: keys for name, keys in info.items() if keys}
    return model.eval()


def assert_computes(model: Any, expected: np.ndarray):
    with torch.no_grad():
        got = model(torch.tensor(IDS), attention_mask=torch.tensor(MASK)).logits.float().numpy()
    assert np.std(expected[MASK > 0]) > 0.1
    np.testing.assert_allclose(got[MASK > 0], expected[MASK > 0], atol=1e-4)


@pytest.mark.parametrize(
    ("family", "settings"),
    slow_except(CASES, "opt", "roberta untied", "llama 3.1", "qwen2 yarn", "gemma3_text"),
)
def test_transformers_reads_what_is_saved(
    write_model: Any, tmp_path: Path, family: str, settings: dict[str, Any]
):
    model = zojax.lm.models.load(written(write_model, family, settings))
    tuned = moved(model.params)
    model.save(tuned, tmp_path)
    expected = logits(model, tuned)
    assert_computes(read(tmp_path), expected)
    again = zojax.lm.models.load(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.params, tuned)
    np.testing.assert_array_equal(logits(again, again.params), expected)


@pytest.mark.parametrize("family", slow_except(FAMILIES, "qwen3"))
def test_bfloat16_in_shards(
    write_model: Any, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
):
    model = zojax.lm.models.load(write_model(family)[0], dtype="bfloat16")
    monkeypatch.setattr(_save, "MAX_SHARD_BYTES", 4000)
    model.save(model.params, tmp_path)
    names = {file.name for file in tmp_path.glob("*.safetensors")}
    assert len(names) > 2
    assert "model.safetensors.index.json" in {file.name for file in tmp_path.iterdir()}
    theirs = read(tmp_path, dtype="auto")
    assert {parameter.dtype for parameter in theirs.parameters()} == {torch.bfloat16}
    # Values of bfloat16, to be compared in float32: sums of 16 bits depend on their order.
    wide = zojax.lm.models.load(tmp_path, param_dtype="bfloat16", dtype="float32")
    jax.tree.map(np.testing.assert_array_equal, wide.params, model.params)
    assert_computes(theirs.float(), logits(wide, wide.params))
    # One file again: what is left of the shards would be read beside it.
    monkeypatch.undo()
    model.save(model.params, tmp_path)
    assert {file.name for file in tmp_path.glob("*safetensors*")} == {"model.safetensors"}
    read(tmp_path)


@pytest.mark.parametrize("name", ["opt-mini", "roberta-mini"])
def test_the_tokenizer_is_transformers_too(name: str, tmp_path: Path):
    model = zojax.lm.models.load(name)
    model.save(model.params, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "A film of wit, 1h 40. It was great"
    for special in (True, False):
        ours = model.tokenizer(text, add_special_tokens=special).input_ids
        assert theirs(text, add_special_tokens=special).input_ids == ours
    for token in ("bos", "eos", "pad", "mask"):
        ours = getattr(model.tokenizer, f"{token}_token_id")
        assert getattr(theirs, f"{token}_token_id") == ours
    assert theirs.decode(ours := model.tokenizer(text).input_ids) == model.tokenizer.decode(ours)
    assert zojax.lm.models.load(tmp_path).tokenizer(text).input_ids == ours


@pytest.mark.flax_classes
@pytest.mark.parametrize(
    ("family", "tied"),
    slow_except(
        {f"{f}-{tied}": (f, tied) for f in ("opt", "roberta") for tied in (True, False)},
        *("opt-True", "roberta-False"),
    ),
)
def test_what_a_flax_class_saves(write_model: Any, tmp_path: Path, family: str, tied: bool):
    folder, _ = write_model(family, tie_word_embeddings=tied)
    model = zojax.lm.models.load(folder, implementation="transformers")
    tuned = moved(model.params)
    model.save(tuned, tmp_path)
    expected = logits(model, tuned)
    assert_computes(read(tmp_path), expected)
    ours = zojax.lm.models.load(tmp_path)
    assert np.abs(logits(ours, ours.params) - expected)[MASK > 0].max() < 1e-4


@pytest.mark.parametrize("last", ["lm_head.bias", "lm_head.decoder.bias"])
def test_the_bias_of_an_untied_masked_head(write_model: Any, tmp_path: Path, last: str):
    """transformers 5 computes with lm_head.decoder.bias, version 4 ties the other one to it."""
    folder, _ = write_model("roberta", tie_word_embeddings=False)
    shutil.copytree(folder, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.decoder.bias"] = np.full((300,), 0.5, np.float32)
    tensors["lm_head.bias"] = np.full((300,), 0.25, np.float32)
    first = {name: tensor for name, tensor in tensors.items() if name != last}
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (tmp_path / "model" / "model.safetensors").unlink()
    for name, part in zip(names, (first, {last: tensors[last]}), strict=True):
        save_file(part, tmp_path / "model" / name)
    weight_map = {**dict.fromkeys(first, names[0]), last: names[1]}
    index = tmp_path / "model" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    model = zojax.lm.models.load(tmp_path / "model")
    np.testing.assert_array_equal(model.params["lm_head"]["bias"], 0.5)
    model.save(model.params, tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    for name in ("lm_head.bias", "lm_head.decoder.bias"):
        np.testing.assert_array_equal(saved[name], 0.5)


def test_files_of_both_versions(write_model: Any, tmp_path: Path):
    """Version 4 reads rope_theta and rope_scaling, version 5 rope_parameters, in any folder."""
    for family, settings in CASES["llama 3.1"], CASES["gemma3_text"]:
        model = zojax.lm.models.load(written(write_model, family, settings))
        model.save(model.params, tmp_path)
        saved = json.loads((tmp_path / "config.json").read_text())
        full = saved["rope_parameters"].get("full_attention", saved["rope_parameters"])
        assert full["rope_theta"] == saved["rope_theta"]
        expected = {key: value for key, value in LLAMA3.items() if key != "rope_theta"}
        if family == "llama":
            assert saved["rope_scaling"] == expected
            assert full == LLAMA3
        else:
            local = saved["rope_parameters"]["sliding_attention"]
            assert local["rope_theta"] == saved["rope_local_base_freq"] == 1e4
        assert saved["dtype"] == saved["torch_dtype"] == "float32"
        tokenizer = json.loads((tmp_path / "tokenizer_config.json").read_text())
        assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"

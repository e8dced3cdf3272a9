"""The language models' adapter: what it loads, computes, saves and refuses."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sets import IMPLEMENTATIONS

import zojax.lm.models
from zojax.lm.models import LanguageModel

IDS = np.array([[2, 5, 6, 7, 8], [2, 9, 10, 1, 1]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)


def logits(model: LanguageModel) -> np.ndarray:
    return np.asarray(jax.jit(model.apply)(model.params, IDS, MASK))


@pytest.mark.flax_classes
@pytest.mark.usefixtures("standard_promotion")
def test_transformers_flax_class_is_called_as_it_is(tiny_opt: Path):
    from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM

    model = zojax.lm.models.load(tiny_opt, implementation="transformers")
    with jax.numpy_rank_promotion("allow"):
        theirs = FlaxOPTForCausalLM(model.config, _do_init=False)
        expected = jax.jit(lambda p: theirs(IDS, MASK, params=p).logits)(model.params)
    np.testing.assert_array_equal(logits(model), expected)


@pytest.mark.parametrize("folder", ["tiny_opt", "untied_opt"])
def test_logits_at_are_those_of_apply(folder: str, request: pytest.FixtureRequest):
    model = zojax.lm.models.load(request.getfixturevalue(folder))
    positions = np.array([[0, 4], [1, 2]], np.int32)
    tokens = np.array([7, 250, 3], np.int32)

    @jax.jit
    def compute(params):
        every = model.logits_at(params, IDS, MASK, positions)
        some = model.logits_at(params, IDS, MASK, positions, tokens)
        return model.apply(params, IDS, MASK), every, some

    whole, every, some = map(np.asarray, compute(model.params))
    whole = whole[np.arange(2)[:, None], positions]
    np.testing.assert_allclose(every, whole, atol=1e-5)
    np.testing.assert_allclose(some, whole[:, :, tokens], atol=1e-5)


def test_padding_changes_nothing(tiny_opt: Path):
    model = zojax.lm.models.load(tiny_opt)
    short = jax.jit(model.apply)(model.params, IDS[1:, :3], MASK[1:, :3])
    np.testing.assert_allclose(logits(model)[1:, :3], short, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_saved_model_loads_again(tiny_opt: Path, tmp_path: Path, dtype: Any, implementation: Any):
    model = zojax.lm.models.load(tiny_opt, dtype=dtype, implementation=implementation)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(model.params)} == {dtype}
    tuned = jax.tree.map(lambda leaf: leaf + jnp.ones((), leaf.dtype), model.params)
    model.save(tuned, tmp_path / "saved")

    again = zojax.lm.models.load(tmp_path / "saved", dtype=dtype, implementation=implementation)
    jax.tree.map(np.testing.assert_array_equal, again.params, tuned)
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert (config["dtype"], config["architectures"]) == (dtype, ["OPTForCausalLM"])
    assert again.tokenizer("It was great").input_ids == model.tokenizer("It was great").input_ids


def test_parameters_are_a_plain_dict_of_arrays(tiny_opt: Path):
    params = zojax.lm.models.load(tiny_opt).params
    assert type(params) is dict
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))


def test_embedded_model():
    model = zojax.lm.models.load("opt-mini")
    assert sum(leaf.size for leaf in jax.tree.leaves(model.params)) <= 10_000_000
    for word in (" great", " terrible"):
        assert len(model.tokenizer(word, add_special_tokens=False).input_ids) == 1


def test_missing_weights_are_named(tiny_opt: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_opt, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["model.decoder.layers.0.fc1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "flax"})
    with pytest.raises(ValueError, match=r"lacks 1 weights.*layers\.0\.fc1\.weight"):
        zojax.lm.models.load(folder)


def test_other_families_are_named(tiny_opt: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_opt, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(ValueError, match=r"of opt, roberta, llama, .*, got model_type 'gpt2'"):
        zojax.lm.models.load(folder)


def test_folder_without_a_model(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        zojax.lm.models.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        zojax.lm.models.load(tmp_path / "nothing")


def test_unknown_dtype(tiny_opt: Path):
    with pytest.raises(ValueError, match=r"dtype must be one of float32, .* got 'int8'"):
        zojax.lm.models.load(tiny_opt, dtype="int8")


@pytest.mark.parametrize("package", ["flax", "safetensors", "tokenizers"])
def test_missing_packages(tiny_opt: Path, monkeypatch: pytest.MonkeyPatch, package: str):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'need {package}: pip install "zojax\[hf\]"'):
        zojax.lm.models.load(tiny_opt)


def test_missing_transformers(tiny_opt: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert zojax.lm.models.load(tiny_opt).kind == "causal"
    with pytest.raises(ImportError, match=r'pip install "zojax\[transformers\]"'):
        zojax.lm.models.load(tiny_opt, implementation="transformers")

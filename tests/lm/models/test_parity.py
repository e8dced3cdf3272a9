"""Every family computes what transformers' PyTorch model of the same weights computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sets import slow_except
from transformers.models.llama.modeling_flax_llama import FlaxLlamaForCausalLM
from transformers.models.mistral.modeling_flax_mistral import FlaxMistralForCausalLM
from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM
from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaForMaskedLM

import zojax.lm.models
from zojax.lm.models import LanguageModel

torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")

FAMILIES = ["opt", "roberta", "llama", "mistral"]
FLAX = {
    "opt": FlaxOPTForCausalLM,
    "roberta": FlaxRobertaForMaskedLM,
    "llama": FlaxLlamaForCausalLM,
    "mistral": FlaxMistralForCausalLM,
}

# Three rows of 24 columns, the first full, the others padded with 1 on the right.
LENGTHS = np.array([24, 13, 1])
MASK = (np.arange(24) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "opt": ("opt", {}),
    "opt like 350m": ("opt", {"word_embed_proj_dim": 8, "do_layer_norm_before": False}),
    "opt untied": ("opt", {"tie_word_embeddings": False, "activation_function": "gelu"}),
    "opt before 4.20": ("opt", {"_remove_final_layer_norm": True}),
    "roberta": ("roberta", {}),
    "roberta untied": ("roberta", {"tie_word_embeddings": False, "hidden_act": "gelu_new"}),
    "llama": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True, "attention_bias": True}),
    "llama with one head of keys": ("llama", {"num_key_value_heads": 1}),
    "mistral": ("mistral", {}),
    "mistral tied": ("mistral", {"tie_word_embeddings": True, "sliding_window": 24}),
}


def logits(model: LanguageModel) -> np.ndarray:
    return np.asarray(jax.jit(model.apply)(model.params, IDS, MASK))


def torch_logits(model: Any) -> np.ndarray:
    with torch.no_grad():
        outputs = model(torch.tensor(IDS), attention_mask=torch.tensor(MASK))
    return outputs.logits.numpy()


def saved_settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def assert_close(got: np.ndarray, expected: np.ndarray):
    """Equal wherever there is a token."""
    assert np.std(expected[MASK > 0]) > 0.1
    np.testing.assert_allclose(got[MASK > 0], expected[MASK > 0], atol=1e-4)


@pytest.mark.parametrize(
    ("family", "settings"),
    slow_except(CASES, *FAMILIES, "opt like 350m", "roberta untied", "llama with one head of keys"),
)
def test_logits_are_pytorchs(write_model: Any, tmp_path: Path, family: str, settings: Any):
    folder, theirs = write_model(family, **settings)
    model = zojax.lm.models.load(folder)
    assert_close(logits(model), torch_logits(theirs))
    assert model.kind == ("masked" if family == "roberta" else "causal")
    # PyTorch's own format, read by torch.
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    again = zojax.lm.models.load(tmp_path, from_pt=True)
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)


@pytest.mark.parametrize(
    ("family", "tied"),
    [("opt", True), ("roberta", True), ("llama", False), ("llama", True), ("mistral", True)],
)
def test_transformers_reads_what_is_saved(
    write_model: Any, tmp_path: Path, family: str, tied: bool
):
    rotary = family in ("llama", "mistral")
    # The Flax classes know no other base, and no model without a window.
    flax_settings: dict[str, Any] = {"rope_theta": 1e4} if rotary else {}
    if family == "mistral":
        flax_settings["sliding_window"] = 40
    folder, _ = write_model(family, tie_word_embeddings=tied, **flax_settings)
    model = zojax.lm.models.load(folder)
    tuned = jax.tree.map(lambda leaf: leaf + jnp.asarray(0.01, leaf.dtype), model.params)
    model.save(tuned, tmp_path)
    again = zojax.lm.models.load(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.params, tuned)
    assert saved_settings(tmp_path) == saved_settings(folder)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs, params = FLAX[family].from_pretrained(tmp_path, _do_init=False)
        expected = np.asarray(jax.jit(lambda p: theirs(IDS, MASK, params=p).logits)(params))
    assert_close(logits(again), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tied_head_is_the_embedding(write_model: Any, family: str):
    folder, _ = write_model(family, tie_word_embeddings=True)
    params = zojax.lm.models.load(folder).params
    kernels = [path for path, _ in jax.tree.leaves_with_path(params) if "decoder" in str(path[-2])]
    assert not kernels
    assert "kernel" not in params.get("lm_head", {})


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["roberta", "llama"])
def test_the_head_at_some_places_is_the_head(write_model: Any, family: str, tied: bool):
    folder, _ = write_model(family, tie_word_embeddings=tied)
    model = zojax.lm.models.load(folder)
    positions = np.array([[0, 23], [12, 3], [0, 0]], np.int32)
    tokens = np.array([7, 250, 3], np.int32)

    @jax.jit
    def compute(params: Any):
        some = model.logits_at(params, IDS, MASK, positions, tokens)
        return model.apply(params, IDS, MASK), some, model.logits_at(params, IDS, MASK, positions)

    whole, some, every = map(np.asarray, compute(model.params))
    whole = whole[np.arange(3)[:, None], positions]
    np.testing.assert_allclose(every, whole, atol=1e-5)
    np.testing.assert_allclose(some, whole[:, :, tokens], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "dtype"), [*((family, "bfloat16") for family in FAMILIES), ("llama", "float16")]
)
def test_half_precision(write_model: Any, family: str, dtype: Any):
    folder, theirs = write_model(family)
    model = zojax.lm.models.load(folder, dtype=dtype)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(model.params)} == {dtype}
    hidden, _ = jax.eval_shape(model.hidden, model.params, IDS, MASK)
    assert hidden.dtype == dtype
    got, expected = logits(model), torch_logits(theirs)
    assert got.dtype == np.float32
    error = np.abs(got - expected)[MASK > 0].mean()
    assert error < (0.1 if dtype == "bfloat16" else 0.01) * np.std(expected[MASK > 0])

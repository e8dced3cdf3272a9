"""Every family computes what transformers' PyTorch model of the same weights computes."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from quick_compile import quick_jit
from sets import slow_except

import zojax.lm.models
from zojax.lm.models import LanguageModel

torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")

FAMILIES = ["opt", "roberta", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"]
FLAX = {
    "opt": "FlaxOPTForCausalLM",
    "roberta": "FlaxRobertaForMaskedLM",
    "llama": "FlaxLlamaForCausalLM",
    "mistral": "FlaxMistralForCausalLM",
}

# Three rows of 24 columns, the first full, the others padded with 1 on the right.
LENGTHS = np.array([24, 13, 1])
MASK = (np.arange(24) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 10}
YARN_SET = {**YARN, "beta_fast": 4.0, "mscale": 0.7, "mscale_all_dim": 0.9, "truncate": False}
SLIDING = ["full_attention", "sliding_attention"]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "opt": ("opt", {}),
    "opt like 350m": ("opt", {"word_embed_proj_dim": 8, "do_layer_norm_before": False}),
    "opt untied": ("opt", {"tie_word_embeddings": False, "activation_function": "gelu"}),
    "opt before 4.20": ("opt", {"_remove_final_layer_norm": True}),
    "roberta": ("roberta", {}),
    "roberta untied": ("roberta", {"tie_word_embeddings": False, "hidden_act": "gelu_new"}),
    "roberta of two token types": ("roberta", {"type_vocab_size": 2}),
    "llama": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True, "attention_bias": True}),
    "llama with one head of keys": ("llama", {"num_key_value_heads": 1}),
    "llama of wide heads": ("llama", {"head_dim": 12, "mlp_bias": True}),
    "llama 3.1": ("llama", {"rope_theta": 100.0, "rope_scaling": LLAMA3}),
    "llama linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 3.0}}),
    "mistral": ("mistral", {}),
    "mistral tied": ("mistral", {"tie_word_embeddings": True, "sliding_window": 24}),
    "mistral with a window": ("mistral", {"sliding_window": 7}),
    "qwen2": ("qwen2", {}),
    "qwen2 yarn": ("qwen2", {"rope_theta": 100.0, "rope_scaling": YARN}),
    "qwen2 yarn set": ("qwen2", {"rope_theta": 100.0, "rope_scaling": YARN_SET}),
    "qwen2 sliding": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"attention_bias": True}),
    "qwen3 tied": ("qwen3", {"tie_word_embeddings": True}),
    "gemma2": ("gemma2", {}),
    "gemma2 without caps": (
        "gemma2",
        {"attn_logit_softcapping": None, "final_logit_softcapping": None, "layer_types": SLIDING},
    ),
    "gemma3_text": ("gemma3_text", {}),
    "gemma3 scaled": (
        "gemma3_text",
        {"rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_local_base_freq": 50.0},
    ),
}


def logits(model: LanguageModel) -> np.ndarray:
    return np.asarray(quick_jit(model.apply)(model.params, IDS, MASK))


def torch_logits(model: Any) -> np.ndarray:
    with torch.no_grad():
        outputs = model(torch.tensor(IDS), attention_mask=torch.tensor(MASK))
    return outputs.logits.numpy()


def assert_close(got: np.ndarray, expected: np.ndarray):
    """Equal wherever there is a token."""
    assert np.std(expected[MASK > 0]) > 0.1
    np.testing.assert_allclose(got[MASK > 0], expected[MASK > 0], atol=1e-4)


@pytest.mark.parametrize(
    ("family", "settings"),
    slow_except(
        CASES,
        # Each family, by what is odd in it where that is computed besides what is plain.
        *("opt", "opt like 350m", "roberta untied", "llama with one head of keys", "llama 3.1"),
        *("mistral with a window", "qwen2 yarn", "qwen3", "gemma2", "gemma3_text"),
    ),
)
def test_logits_are_pytorchs(write_model: Any, family: str, settings: Any):
    folder, theirs = write_model(family, **settings)
    model = zojax.lm.models.load(folder)
    assert_close(logits(model), torch_logits(theirs))
    assert model.kind == ("masked" if family == "roberta" else "causal")


@pytest.mark.parametrize("family", slow_except(FAMILIES, "gemma3_text"))
def test_unrolled_layers_compute_the_same(write_model: Any, family: str):
    folder, theirs = write_model(family)
    model = zojax.lm.models.load(folder, scan_layers=False)
    assert "layers_1" in model.params
    assert_close(logits(model), torch_logits(theirs))


@pytest.mark.flax_classes
@pytest.mark.parametrize("family", slow_except(list(FLAX), "opt"))
def test_logits_are_those_of_transformers_flax_classes(write_model: Any, family: str):
    # FlaxLlama and FlaxMistral know no other base, FlaxMistral no model without a window.
    own: dict[str, Any] = {"rope_theta": 1e4} if family in ("llama", "mistral") else {}
    if family == "mistral":
        own["sliding_window"] = 40
    folder, _ = write_model(family, **own)
    model = zojax.lm.models.load(folder)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        # Not from the top level, which warns that Flax ends with version 5.
        classes = import_module(f"transformers.models.{family}.modeling_flax_{family}")
        theirs = getattr(classes, FLAX[family]).from_pretrained(folder, from_pt=True)
        expected = np.asarray(jax.jit(lambda p: theirs(IDS, MASK, params=p).logits)(theirs.params))
    assert_close(logits(model), expected)


def test_pytorchs_own_format(write_model: Any, tmp_path: Path):
    folder, theirs = write_model("llama")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    again = zojax.lm.models.load(tmp_path, from_pt=True)
    expected = zojax.lm.models.load(folder).params
    jax.tree.map(np.testing.assert_array_equal, again.params, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tied_head_is_the_embedding(write_model: Any, family: str):
    folder, _ = write_model(family, tie_word_embeddings=True)
    assert "kernel" not in zojax.lm.models.load(folder).params.get("lm_head", {})


@pytest.mark.parametrize(
    ("family", "tied"),
    slow_except(
        {f"{f}-{tied}": (f, tied) for f in ("roberta", "llama") for tied in (True, False)},
        *("roberta-True", "llama-False"),
    ),
)
def test_the_head_at_some_places_is_the_head(write_model: Any, family: str, tied: bool):
    folder, _ = write_model(family, tie_word_embeddings=tied)
    model = zojax.lm.models.load(folder)
    positions = np.array([[0, 23], [12, 3], [0, 0]], np.int32)
    tokens = np.array([7, 250, 3], np.int32)

    @quick_jit
    def compute(params: Any):
        some = model.logits_at(params, IDS, MASK, positions, tokens)
        return model.apply(params, IDS, MASK), some, model.logits_at(params, IDS, MASK, positions)

    whole, some, every = map(np.asarray, compute(model.params))
    whole = whole[np.arange(3)[:, None], positions]
    np.testing.assert_allclose(every, whole, atol=1e-5)
    np.testing.assert_allclose(some, whole[:, :, tokens], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "dtype"),
    slow_except(
        {f"{f}-{d}": (f, d) for f in FAMILIES for d in ("bfloat16", "float16")},
        "gemma2-bfloat16",
    ),
)
def test_half_precision(write_model: Any, family: str, dtype: Any):
    folder, theirs = write_model(family)
    expected = torch_logits(theirs)
    spread = np.std(expected[MASK > 0])
    for param_dtype in (dtype, "float32"):
        model = zojax.lm.models.load(folder, dtype=dtype, param_dtype=param_dtype)
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(model.params)} == {param_dtype}
        hidden, _ = jax.eval_shape(model.hidden, model.params, IDS, MASK)
        assert hidden.dtype == dtype
        got = logits(model)
        assert got.dtype == np.float32
        error = np.abs(got - expected)[MASK > 0].mean()
        assert error < (0.1 if dtype == "bfloat16" else 0.01) * spread


@pytest.mark.slow
@pytest.mark.parametrize("family", ["opt", "gemma3_text"])
def test_rematerialized_gradients_are_the_same(write_model: Any, family: str):
    folder, _ = write_model(family)

    def gradient(remat: bool) -> Any:
        model = zojax.lm.models.load(folder, remat=remat)

        @jax.jit
        @jax.grad
        def of(params: Any) -> jax.Array:
            return jax.nn.log_softmax(model.apply(params, IDS, MASK))[..., 5].mean()

        program = str(jax.make_jaxpr(of)(model.params))
        assert ("remat" in program or "checkpoint" in program) is remat
        return of(model.params)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), gradient(True), gradient(False)
    )

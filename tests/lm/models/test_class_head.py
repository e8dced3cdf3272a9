"""Models with a head of classes: saved, and read by transformers' PyTorch classes and by zojax."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_compile import quick_jit
from safetensors.numpy import load_file
from sets import slow_except

import zojax.lm.models
from zojax.lm.models import LanguageModel, features_of, with_score

LABELS = ("billing", "sales", "support")
DECODERS = {
    **{f: (f, {}) for f in ("opt", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")},
    "opt untied": ("opt", {"tie_word_embeddings": False}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "opt like 350m": ("opt", {"word_embed_proj_dim": 8, "do_layer_norm_before": False}),
}
LENGTHS = np.array([12, 7, 1])
MASK = (np.arange(12) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)


def headed(model: LanguageModel) -> LanguageModel:
    shape = features_of(model), len(LABELS)
    kernel = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return with_score(model, {"kernel": jnp.asarray(kernel)}, LABELS)


def scores(model: LanguageModel) -> np.ndarray:
    def of(params: Any) -> Any:
        hidden, _ = model.hidden(params, IDS, MASK)
        return model.scores(params, hidden[jnp.arange(len(LENGTHS)), LENGTHS - 1])

    return np.asarray(quick_jit(of)(model.params))


@pytest.mark.parametrize(
    ("family", "settings"), slow_except(DECODERS, "opt", "llama", "opt like 350m", "gemma3_text")
)
def test_transformers_computes_the_scores_of_a_saved_decoder(
    write_model: Any, tmp_path: Path, family: str, settings: dict[str, Any]
):
    torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    model = headed(zojax.lm.models.load(write_model(family, **settings)[0]))
    assert not any("lm_head" in str(path) for path, _ in jax.tree.leaves_with_path(model.params))
    model.save(model.params, tmp_path)
    options = {"attn_implementation": "eager", "output_loading_info": True}
    kind = transformers.AutoModelForSequenceClassification
    theirs, info = kind.from_pretrained(tmp_path, **options)
    assert not {name: keys for name, keys in info.items() if keys}
    assert [theirs.config.id2label[i] for i in range(3)] == [*LABELS]
    assert theirs.config.label2id == {name: i for i, name in enumerate(LABELS)}
    assert theirs.config.num_labels == 3
    padding = theirs.config.pad_token_id
    ids = np.where(MASK > 0, IDS, padding)
    with torch.no_grad():
        got = theirs.eval()(torch.tensor(ids), attention_mask=torch.tensor(MASK)).logits.numpy()
    expected = scores(model)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("family", slow_except(["opt", "llama", "roberta"], "opt", "roberta"))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_saved_head_is_loaded_to_the_bit(
    write_model: Any, tmp_path: Path, family: str, dtype: Any
):
    model = headed(zojax.lm.models.load(write_model(family)[0], dtype=dtype))
    model.save(model.params, tmp_path)
    again = zojax.lm.models.load(tmp_path, dtype=dtype)
    assert again.labels == LABELS
    assert again.params["score"]["kernel"].dtype == jnp.float32
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)
    np.testing.assert_array_equal(scores(again), scores(model))
    with pytest.raises(ValueError, match="logits: the model must have a language-modelling head"):
        again.logits(again.params, jnp.zeros((1, features_of(again))))


def test_roberta_is_saved_under_a_name_of_our_own(write_model: Any, tmp_path: Path):
    model = headed(zojax.lm.models.load(write_model("roberta")[0]))
    model.save(model.params, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["ZojaxRobertaWithScore"]
    names = load_file(tmp_path / "model.safetensors").keys()
    assert "score.weight" in names
    assert not [name for name in names if name.startswith("lm_head")]


def test_a_bias_leaves_the_model_as_it_is(write_model: Any, tmp_path: Path):
    model = zojax.lm.models.load(write_model("opt")[0])
    bias = jnp.array([0.5, -0.5, 0.0])
    biased = with_score(model, {"bias": bias}, LABELS)
    np.testing.assert_array_equal(biased.bias(biased.params), bias)
    one = jnp.ones((1, 1), jnp.int32)
    np.testing.assert_array_equal(
        biased.apply(biased.params, one, one), model.apply(model.params, one, one)
    )
    biased.save(biased.params, tmp_path)
    again = zojax.lm.models.load(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.params, model.params)

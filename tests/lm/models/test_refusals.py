"""Settings that would change the function unnoticed are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import zojax.lm.models


def with_settings(folder: Path, target: Path, **settings: Any) -> Path:
    shutil.copytree(folder, target, dirs_exist_ok=True)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | settings))
    return target


@pytest.mark.quick
@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("opt", {"activation_function": "mish"}, "activation function must be .* got 'mish'"),
        ("opt", {"enable_bias": False}, "enable_bias must be True .* family opt, got False"),
        ("opt", {"layer_norm_elementwise_affine": False}, "elementwise_affine must be True"),
        ("roberta", {"hidden_act": "mish"}, "activation function must be .* got 'mish'"),
        ("roberta", {"position_embedding_type": "relative_key"}, "must be 'absolute'"),
        ("roberta", {"is_decoder": True}, "is_decoder must be False"),
        ("roberta", {"add_cross_attention": True}, "add_cross_attention must be False"),
        ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type .* 'dynamic'"),
        ("llama", {"rope_scaling": {"rope_type": "linear"}}, "linear take factor.* factor missing"),
        (
            "llama",
            {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "twist": 1}},
            "got twist besides",
        ),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1.0 .* got 0.5"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ("llama", {"logit_scale": 0.1}, "not known for .* llama: logit_scale = 0.1"),
        ("llama", {"logit_scale": 0}, "not known for .* llama: logit_scale = 0"),  # 0 == False
        ("llama", {"quantization_config": {"bits": 4}}, "not known .* quantization_config"),
        ("qwen2", {"layer_types": ["linear_attention"] * 2, "use_sliding_window": True}, "linear_"),
        ("gemma2", {"layer_types": ["full_attention"]}, "for each of the 2 layers"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "must be False .* gemma3_text"),
    ],
    ids=str,
)
def test_settings_are_refused(
    write_model: Any, tmp_path: Path, family: str, settings: Any, message: str
):
    if "rope_scaling" in settings:  # instead of what transformers 5 has written
        settings = {**settings, "rope_parameters": None}
    folder = with_settings(write_model(family)[0], tmp_path, **settings)
    with pytest.raises(ValueError, match=f"load: .*{message}"):
        zojax.lm.models.load(folder)


def test_two_spellings_that_differ_are_refused(write_model: Any, tmp_path: Path):
    scaling = {"type": "linear", "factor": 2.0}
    new = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e5}
    both = {"rope_theta": 1e5, "rope_scaling": scaling, "rope_parameters": new}
    folder = write_model("llama")[0]
    zojax.lm.models.load(with_settings(folder, tmp_path, **both))
    for name, change in {
        "factor .* 3.0 and 2.0": {"rope_parameters": {**new, "factor": 3.0}},
        "rope_theta .* 100000.0 and 7.0": {"rope_theta": 7.0},
        "rope_type .* 'default' and 'linear'": {"rope_parameters": {"rope_type": "default"}},
    }.items():
        with pytest.raises(ValueError, match=f"load: {name}"):
            zojax.lm.models.load(with_settings(folder, tmp_path, **{**both, **change}))


def test_settings_that_change_nothing_are_not(write_model: Any, tmp_path: Path):
    folder = with_settings(
        write_model("llama")[0],
        tmp_path,
        rope_scaling={"type": "default"},
        logit_scale=None,
        use_flash=False,
        attention_dropout=0.1,
    )
    assert zojax.lm.models.load(folder).max_length == 40


def test_a_setting_that_is_missing_is_named(write_model: Any, tmp_path: Path):
    folder = with_settings(write_model("llama")[0], tmp_path, hidden_size=None)
    with pytest.raises(ValueError, match=r"load: .*/config\.json has no hidden_size"):
        zojax.lm.models.load(folder)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"must be a model's configuration, .* got something else"):
        zojax.lm.models.load(folder)


@pytest.mark.flax_classes
def test_transformers_flax_classes_take_what_they_can(write_model: Any):
    folder, _ = write_model("llama")
    with pytest.raises(ValueError, match=r"family opt or roberta, got model_type 'llama'"):
        zojax.lm.models.load(folder, implementation="transformers")
    folder, _ = write_model("opt")
    for option in ({"param_dtype": "float32"}, {"remat": True}, {"layout": lambda shapes: shapes}):
        with pytest.raises(ValueError, match="must be left out for transformers' Flax classes"):
            zojax.lm.models.load(folder, implementation="transformers", **option)
    with pytest.raises(ValueError, match="implementation must be zojax or transformers, got 'x'"):
        zojax.lm.models.load(folder, implementation="x")  # pyright: ignore[reportArgumentType]


def test_roberta_has_two_positions_less(write_model: Any):
    model = zojax.lm.models.load(write_model("roberta")[0])
    assert model.max_length == 40
    ids = np.ones((1, 41), np.int32)
    with pytest.raises(ValueError, match="got 41"):
        model.hidden(model.params, ids, ids)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_long_model_costs_no_more(write_model: Any, family: str):
    model = zojax.lm.models.load(write_model(family, max_position_embeddings=131_072)[0])
    ids = np.ones((1, 8), np.int32)
    assert "131072" not in str(jax.make_jaxpr(model.apply)(model.params, ids, ids))
    assert model.max_length == 131_072
    assert model.config.max_position_embeddings == 131_072

"""What transformers' Flax models would silently compute otherwise is refused."""

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
    ("family", "settings"),
    [
        ("opt", {"activation_function": "mish"}),
        ("opt", {"enable_bias": False}),
        ("opt", {"layer_norm_elementwise_affine": False}),
        ("roberta", {"hidden_act": "mish"}),
        ("roberta", {"position_embedding_type": "relative_key"}),
        ("roberta", {"is_decoder": True}),
        ("roberta", {"add_cross_attention": True}),
        ("llama", {"hidden_act": "mish"}),
        ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
        ("llama", {"mlp_bias": True}),
        ("llama", {"head_dim": 8}),
        ("llama", {"partial_rotary_factor": 0.5}),
        ("mistral", {"head_dim": 8}),
        ("mistral", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    ],
    ids=str,
)
def test_settings_are_refused(write_model: Any, tmp_path: Path, family: str, settings: Any):
    folder = with_settings(write_model(family)[0], tmp_path, **settings)
    [name] = settings
    with pytest.raises(ValueError, match=f"load: {name} must be .* family {family}, got"):
        zojax.lm.models.load(folder)


def test_the_default_scaling_is_none(write_model: Any, tmp_path: Path):
    folder = with_settings(write_model("llama")[0], tmp_path, rope_scaling={"type": "default"})
    assert zojax.lm.models.load(folder).max_length == 40


def test_a_window_is_the_longest_sequence(write_model: Any):
    model = zojax.lm.models.load(write_model("mistral", sliding_window=24)[0])
    assert model.max_length == 24
    ids = np.ones((1, 25), np.int32)
    with pytest.raises(ValueError, match="1 to 24 for this mistral model, got 25"):
        model.hidden(model.params, ids, ids)


def test_roberta_has_two_positions_less(write_model: Any):
    model = zojax.lm.models.load(write_model("roberta")[0])
    assert model.max_length == 40
    ids = np.ones((1, 41), np.int32)
    with pytest.raises(ValueError, match="got 41"):
        model.hidden(model.params, ids, ids)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_a_long_model_costs_no_more(write_model: Any, family: str):
    """Each layer would trace a mask of max_position_embeddings², 16 GB."""
    model = zojax.lm.models.load(write_model(family, max_position_embeddings=131_072)[0])
    ids = np.ones((1, 8), np.int32)
    assert "131072" not in str(jax.make_jaxpr(model.apply)(model.params, ids, ids))
    assert model.max_length == 131_072
    assert model.config.max_position_embeddings == 131_072

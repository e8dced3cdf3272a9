"""Models to plan with."""

import json

import jax
import jax.numpy as jnp
import pytest
from opt_config import write_config

from zojax.lm import models
from zojax.lm.adapters import LoRA
from zojax.lm.models._files import resolve
from zojax.lm.models._hub_names import HUB_NAMES


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        # as published, in millions
        ("opt-125m", 125),
        ("roberta-large", 355),
        ("llama-2-7b", 6738),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("opt-350m", 331),
                ("opt-1.3b", 1316),
                ("opt-13b", 12853),
                ("opt-175b", 174604),
                ("mistral-7b", 7242),
                ("llama-3.1-8b", 8030),
                ("llama-3.2-1b", 1236),
                ("qwen2.5-0.5b", 494),
                ("qwen2.5-7b", 7616),
                ("qwen3-0.6b", 596),
                ("qwen3-8b", 8191),
                ("gemma-2-2b", 2614),
                ("gemma-3-270m", 268),
                ("gemma-3-1b", 1000),
            )
        ),
    ],
)
def test_a_named_model_has_its_size(model, parameters):
    work = models.workload(model, batch=2, length=16, dtype=jnp.bfloat16)
    assert abs(count(work.params) / 1e6 - parameters) < 1
    assert work.nbytes == 2 * count(work.params)
    assert work.batch.shape == (2, 16)
    loss = jax.eval_shape(work.loss, work.params, work.batch)
    assert (loss.shape, loss.dtype) == ((), jnp.float32)


def test_a_folder_with_a_config(tmp_path):
    config = {
        "model_type": "opt",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 64,
        "word_embed_proj_dim": 32,
        "vocab_size": 100,
        "max_position_embeddings": 2048,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    work = models.workload(tmp_path, batch=1, length=8)
    assert max(leaf.size for leaf in jax.tree.leaves(work.params)) == (2048 + 2) * 32


@pytest.mark.parametrize("name", ["facebook/opt-125m", "Facebook/OPT-125M"])
def test_a_models_name_on_the_hub_is_its_name(name):
    work = models.workload(name, batch=1, length=8)
    short = models.workload("opt-125m", batch=1, length=8)
    assert (work.name, short.name) == (name, "opt-125m")
    assert work.params == short.params


def test_models_of_this_package_are_planned():
    work = models.workload("opt-mini", batch=1, length=8)
    assert work.params == jax.eval_shape(lambda: models.load("opt-mini").params)


def test_every_known_model_has_its_place_on_the_hub():
    assert {*HUB_NAMES} == {*models.MODELS}
    for name, hub in HUB_NAMES.items():
        if hub is not None:
            assert resolve(name) == resolve(hub) == hub
    with pytest.raises(FileNotFoundError, match="of opt-175b the shapes alone are known"):
        models.load("opt-175b")


def test_a_folder_of_a_known_name_is_that_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "opt-13b"
    folder.mkdir()
    write_config(folder)
    assert models.workload("opt-13b", batch=1, length=8).size < 1e6
    assert resolve("opt-13b") == "opt-13b"


def test_an_adapter_is_a_branch_beside_the_model():
    work = models.workload("opt-125m", batch=1, length=8, layers=2, adapter=LoRA(rank=4))
    whole = models.workload("opt-125m", batch=1, length=8, layers=2)
    assert work.branch == "adapter"
    assert work.params["model"] == whole.params
    assert work.tuned_bytes == 4 * 2 * 2 * 2 * 4 * 768  # A and B of queries and values, 2 layers
    assert work.nbytes == whole.nbytes + work.tuned_bytes
    assert whole.tuned_bytes == whole.nbytes
    deeper = work.at_depth(3)
    assert (deeper.branch, deeper.tuned_bytes) == ("adapter", work.tuned_bytes * 3 // 2)
    assert jax.eval_shape(work.loss, work.params, work.batch).shape == ()


def test_unknown_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="model must be one of opt-mini, roberta-mini, opt-125m"):
        models.workload("opt-12b", batch=1, length=8)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValueError, match=r"family must be one of opt, .* got model_type 'gpt2'"):
        models.workload(tmp_path, batch=1, length=8)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"batch": 0}, "workload: batch must be >= 1, got 0"),
        ({"length": 0}, "workload: length must be >= 1, got 0"),
        ({"layers": 0}, "workload: layers must be >= 1, got 0"),
        ({"length": 2049}, "workload: length must be <= 2048 for opt-125m, got 2049"),
        ({"dtype": "int8"}, "workload: dtype must be a floating-point dtype, got int8"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        models.workload("opt-125m", **{"batch": 1, "length": 8, **sizes})


def test_layers_can_be_fewer():
    whole = models.workload("opt-125m", batch=1, length=8)
    two = models.workload("opt-125m", batch=1, length=8, layers=2)
    four = models.workload("opt-125m", batch=1, length=8, layers=4)
    assert (whole.layers, two.layers) == (12, 2)
    assert whole.size == two.size + 5 * (four.size - two.size)
    assert whole.at_depth is not None
    assert jax.tree.map(jnp.shape, whole.at_depth(2).params) == jax.tree.map(jnp.shape, two.params)
    assert (whole.name, whole.at_depth(2).dtype) == ("opt-125m", "float32")


def test_parameters_may_be_wider_than_the_computation():
    work = models.workload("opt-125m", batch=1, length=8, dtype="bfloat16", param_dtype="float32")
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(work.params)} == {"float32"}
    assert "bf16" in str(jax.make_jaxpr(work.loss)(work.params, work.batch))


def test_layers_are_stacked_or_not():
    shapes = models.workload("opt-125m", batch=1, length=8).params
    assert shapes["layers"]["mlp"]["up_proj"]["kernel"].shape == (12, 768, 3072)
    shapes = models.workload("opt-125m", batch=1, length=8, scan_layers=False).params
    assert shapes["layers_11"]["mlp"]["up_proj"]["kernel"].shape == (768, 3072)


def test_mistral_has_no_mask_of_all_positions():
    work = models.workload("mistral-7b", batch=1, length=300, layers=1)
    program = str(jax.make_jaxpr(work.loss)(work.params, work.batch))
    assert "300,300" in program
    assert "32768" not in program

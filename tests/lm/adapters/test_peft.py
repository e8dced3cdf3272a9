"""LoRA in peft's format: peft computes with it what zojax computes, in both directions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sets import slow_except

from zojax.lm.adapters import LoRA, Prefix, load_adapter, merge, save_adapter
from zojax.lm.models import LanguageModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LENGTHS = np.array([9, 5])
MASK = (np.arange(9) < LENGTHS[:, None]).astype(np.int32)
IDS = np.where(MASK > 0, np.random.default_rng(0).integers(3, 300, MASK.shape), 1).astype(np.int32)
EVERYWHERE = ("q_proj", "k_proj", "o_proj", "up_proj", "down_proj")
CASES: dict[str, tuple[str, LoRA]] = {
    "opt": ("opt", LoRA(rank=2, alpha=3.0)),
    "opt everywhere": ("opt", LoRA(rank=2, alpha=3.5, targets=EVERYWHERE)),
    "roberta": ("roberta", LoRA(rank=2, alpha=3.0)),
    "roberta everywhere": ("roberta", LoRA(rank=2, alpha=3.0, targets=EVERYWHERE)),
    "llama": ("llama", LoRA(rank=2, alpha=4.0, targets=("q_proj", "gate_proj"))),
    "qwen3": ("qwen3", LoRA(rank=3, alpha=2.0, targets=(*EVERYWHERE, "gate_proj"))),
    "gemma3_text": ("gemma3_text", LoRA(rank=2, alpha=3.0, targets=("v_proj", "down_proj"))),
}


# peft calls what transformers will remove.
quiet_peft = pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")


def moved(model: LanguageModel) -> Any:
    """The model's parameters with an adapter that has moved."""
    leaves, tree = jax.tree.flatten(model.params["adapter"])
    keys = jax.random.split(jax.random.key(5), len(leaves))
    values = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return {**model.params, "adapter": tree.unflatten(values)}


def logits(model: LanguageModel, params: Any) -> np.ndarray:
    return np.asarray(jax.jit(model.apply)(params, IDS, MASK))


def theirs(family: str) -> Any:
    """transformers' class of the model, with peft at hand."""
    pytest.importorskip("torch", reason="needs torch, whose model peft adapts")
    pytest.importorskip("peft", reason="needs peft, an optional reader")
    import transformers

    kind = "MaskedLM" if family == "roberta" else "CausalLM"
    return getattr(transformers, f"AutoModelFor{kind}")


def assert_computes(model: Any, expected: np.ndarray):
    import torch

    with torch.no_grad():
        got = model(input_ids=torch.tensor(IDS), attention_mask=torch.tensor(MASK)).logits.numpy()
    np.testing.assert_allclose(got[MASK > 0], expected[MASK > 0], atol=1e-4)


@quiet_peft
@pytest.mark.parametrize(
    ("family", "adapter"),
    slow_except(CASES, "opt", "opt everywhere", "roberta everywhere", "qwen3", "gemma3_text"),
)
def test_peft_reads_what_is_saved(family: str, adapter: LoRA, make, load, tmp_path: Path):
    auto = theirs(family)
    from peft import AutoPeftModelForCausalLM, PeftModel

    base = load(family)
    model = adapter.adapt(base, 0)
    params = moved(model)
    expected = logits(model, params)
    assert np.abs(expected - logits(base, base.params)).max() > 0.01
    save_adapter(adapter, model, params, tmp_path)
    peft_model = PeftModel.from_pretrained(auto.from_pretrained(make(family)), tmp_path).eval()
    tuned = [name for name, _ in peft_model.named_parameters() if "lora_" in name]
    assert len(tuned) == len(load_file(tmp_path / WEIGHTS))
    assert_computes(peft_model, expected)
    if base.kind == "causal":
        assert_computes(AutoPeftModelForCausalLM.from_pretrained(tmp_path).eval(), expected)


@quiet_peft
@pytest.mark.parametrize("family", slow_except(["opt", "roberta", "llama", "qwen3"], "opt"))
@pytest.mark.parametrize("rslora", [False, True])
def test_what_peft_saves_is_read(family: str, rslora: bool, make, load, tmp_path: Path):
    auto = theirs(family)
    import torch
    from peft import LoraConfig, get_peft_model

    names = ["query", "intermediate.dense"] if family == "roberta" else ["q_proj", "v_proj"]
    config = LoraConfig(
        r=3, lora_alpha=5, target_modules=names, use_rslora=rslora, lora_dropout=0.1
    )
    torch.manual_seed(0)
    peft_model = get_peft_model(auto.from_pretrained(make(family)), config).eval()
    with torch.no_grad():
        for name, parameter in peft_model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape))
    peft_model.save_pretrained(tmp_path)
    base = load(family)
    adapter, model = load_adapter(base, tmp_path)
    assert isinstance(adapter, LoRA)
    assert adapter.rank == 3
    assert adapter.alpha == (5 * math.sqrt(3) if rslora else 5)
    assert_computes(peft_model, logits(model, model.params))
    assert_computes(peft_model, logits(base, merge(adapter, model.params)))


def saved(load: Any, folder: Path, family: str = "opt", **settings: Any) -> Any:
    adapter = LoRA(rank=2, alpha=3.0, **settings)
    model = adapter.adapt(load(family), 0)
    params = moved(model)
    save_adapter(adapter, model, params, folder)
    return params


@pytest.mark.quick
def test_the_files(load, make, tmp_path: Path):
    params = saved(load, tmp_path, targets=("o_proj", "up_proj"))
    tensors = load_file(tmp_path / WEIGHTS)
    layer = "base_model.model.model.decoder.layers.1"
    assert tensors[f"{layer}.fc1.lora_A.weight"].shape == (2, 16)
    assert tensors[f"{layer}.fc1.lora_B.weight"].shape == (32, 2)
    own = params["adapter"]["layers"]["self_attn"]["o_proj"]
    np.testing.assert_array_equal(
        tensors[f"{layer}.self_attn.out_proj.lora_A.weight"], own["a"][1].T
    )
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype("float32")}
    assert len(tensors) == 2 * 2 * 2  # layers, modules, matrices
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    assert (config["r"], config["lora_alpha"]) == (2, 3)
    assert config["target_modules"] == ["fc1", "out_proj"]
    assert config["base_model_name_or_path"] == str(make("opt"))
    assert {file.name for file in tmp_path.iterdir()} == {CONFIG, WEIGHTS, "adapter.json"}


def test_names_that_other_modules_end_in_too(load, tmp_path: Path):
    """RoBERTa has four modules called dense in a layer and its head."""
    saved(load, tmp_path, "roberta", targets=("up_proj", "o_proj"))
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["target_modules"] == ["attention.output.dense", "intermediate.dense"]
    assert config["task_type"] is None
    saved(load, tmp_path / "down", "roberta", targets=("down_proj",))
    config = json.loads((tmp_path / "down" / CONFIG).read_text())
    # "output.dense" would be the attention's too, so each layer is named.
    assert config["target_modules"] == ["0.output.dense", "1.output.dense"]


@pytest.mark.quick
def test_without_our_file_it_is_read_as_pefts(load, tmp_path: Path):
    params = saved(load, tmp_path)
    (tmp_path / "adapter.json").unlink()
    adapter, model = load_adapter(load("opt"), tmp_path)
    assert adapter == LoRA(rank=2, alpha=3.0, targets=("q_proj", "v_proj"))
    jax.tree.map(np.testing.assert_array_equal, model.params, params)


def test_unrolled_layers_have_the_same_names(make, load, tmp_path: Path):
    import zojax.lm.models

    saved(load, tmp_path)
    (tmp_path / "adapter.json").unlink()
    base = zojax.lm.models.load(make("opt"), scan_layers=False)
    adapter, model = load_adapter(base, tmp_path)
    scanned = load_adapter(load("opt"), tmp_path)[1]
    np.testing.assert_allclose(
        logits(model, model.params), logits(scanned, scanned.params), atol=1e-5
    )
    save_adapter(adapter, model, model.params, tmp_path / "again")
    ours = load_file(tmp_path / "again" / WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, ours, load_file(tmp_path / WEIGHTS))


@pytest.mark.flax_classes
@pytest.mark.parametrize("family", ["opt", "roberta"])
def test_flax_classes_have_the_same_names(family: str, load, tmp_path: Path):
    adapter = LoRA(rank=2, alpha=3.0)
    flax = adapter.adapt(load(family, implementation="transformers"), 0)
    params = moved(flax)
    save_adapter(adapter, flax, params, tmp_path)
    (tmp_path / "adapter.json").unlink()
    model = load_adapter(load(family), tmp_path)[1]
    np.testing.assert_allclose(
        logits(model, model.params)[MASK > 0], logits(flax, params)[MASK > 0], atol=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(peft_type="IA3"), "peft_type in .* must be 'LORA', got 'IA3'"),
        (dict(use_dora=True), "not supported: use_dora = True"),
        (dict(bias="lora_only"), "not supported: bias = 'lora_only'"),
        (dict(modules_to_save=["lm_head"]), r"modules_to_save = \['lm_head'\]"),
        (dict(rank_pattern={"q_proj": 4}), "rank_pattern = "),
        (dict(alpha_pattern={"q_proj": 4}), "alpha_pattern = "),
        (dict(fan_in_fan_out=True), "fan_in_fan_out = True"),
        (dict(layers_to_transform=[0]), r"layers_to_transform = \[0\]"),
        (dict(layer_replication=[[0, 2]]), "layer_replication = "),
        (dict(lora_bias=True), "lora_bias = True"),
        (dict(init_lora_weights="pissa"), "init_lora_weights = 'pissa'"),
        (dict(a_later_setting=True, use_dora=True), "a_later_setting = True, use_dora = True"),
        (dict(r="2"), r"r in .* must be a number > 0 of type int, got '2'"),
        (dict(lora_alpha=-1), "lora_alpha in .* must be a number > 0"),
        (dict(r=3), r"lora_A\.weight of shape \(3, 16\), got \(2, 16\)"),
    ],
)
def test_settings_of_peft_that_are_refused(changes: dict[str, Any], message: str, load, tmp_path):
    saved(load, tmp_path)
    (tmp_path / "adapter.json").unlink()
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | changes))
    with pytest.raises(ValueError, match=f"load_adapter: .*{message}"):
        load_adapter(load("opt"), tmp_path)


def test_tensors_of_peft_that_are_refused(load, tmp_path: Path):
    saved(load, tmp_path)
    (tmp_path / "adapter.json").unlink()
    tensors = load_file(tmp_path / WEIGHTS)

    def refused(others: dict[str, np.ndarray], message: str) -> None:
        save_file(others, tmp_path / WEIGHTS)
        with pytest.raises(ValueError, match=f"load_adapter: .*{message}"):
            load_adapter(load("opt"), tmp_path)

    name = "base_model.model.model.decoder.embed_tokens.lora_embedding_A"
    refused({**tensors, name: np.zeros((2, 16), np.float32)}, f"alone, got {name}")
    head = "base_model.model.lm_head.lora_A.weight"
    refused({**tensors, head: np.zeros((2, 16), np.float32)}, f"alone, got {head}")
    first = {name: tensor for name, tensor in tensors.items() if ".1." not in name}
    refused(first, r"q_proj, v_proj in every layer, got none for .*layers\.1\.self_attn\.q_proj")
    refused({}, "must have a product for some modules, got none")
    (tmp_path / WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="is truncated or damaged"):
        load_adapter(load("opt"), tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no .*adapter_model\.safetensors"):
        load_adapter(load("opt"), tmp_path)
    (tmp_path / CONFIG).write_text("[]")
    with pytest.raises(ValueError, match="must be an adapter's settings, as peft writes them"):
        load_adapter(load("opt"), tmp_path)


def test_an_edited_file_of_peft_is_found(load, tmp_path: Path):
    saved(load, tmp_path)
    config = (tmp_path / CONFIG).read_text()
    (tmp_path / CONFIG).write_text(config.replace('"lora_alpha": 3', '"lora_alpha": 30'))
    with pytest.raises(ValueError, match=r"adapter_config\.json must be the file that was saved"):
        load_adapter(load("opt"), tmp_path)


def test_another_kind_in_the_same_folder_leaves_nothing_of_it(load, tmp_path: Path):
    saved(load, tmp_path)
    adapter = Prefix(2)
    model = adapter.adapt(load("opt"), 0)
    save_adapter(adapter, model, model.params, tmp_path, overwrite=True)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"adapter.json", "adapter.safetensors"}
    assert load_adapter(load("opt"), tmp_path)[0] == adapter
    saved_again = LoRA(rank=1)
    model = saved_again.adapt(load("opt", "bfloat16"), 0)
    with pytest.raises(FileExistsError, match=r"there is adapter\.json in"):
        save_adapter(saved_again, model, model.params, tmp_path)
    save_adapter(saved_again, model, model.params, tmp_path, overwrite=True)
    values = load_adapter(load("opt", "bfloat16"), tmp_path)[1].params["adapter"]
    assert {leaf.dtype for leaf in jax.tree.leaves(values)} == {jnp.dtype("float32")}

"""Folders that the installed transformers writes are tuned by name, and read by it afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sets import slow_except
from tiny_models import masked_tokenizer_of

import zojax.lm.models
from zojax.lm.training import AdapterConfig, DataConfig, FinetuneConfig, HyperParameters, finetune

torch = pytest.importorskip("torch", reason="needs torch, whose logits are the measure")
transformers = pytest.importorskip("transformers", reason="needs transformers, the other reader")

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

FAMILIES = ["opt", "roberta", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"]
ADAPTERS = {
    "whole": AdapterConfig(),
    "lora": AdapterConfig("lora", rank=2),
    "prefix": AdapterConfig("prefix", length=2),
}
CASES = {
    f"{family} {adapter}": (family, adapter, settings)
    for family in FAMILIES
    for adapter, settings in ADAPTERS.items()
}
IDS = np.array([[2, 5, 6, 7, 8]], np.int32)


@pytest.mark.parametrize(
    ("family", "adapter", "tuned"),
    slow_except(
        CASES,
        *("opt prefix", "qwen3 whole", "gemma3_text lora"),
    ),
)
def test_a_folder_of_transformers_is_tuned(
    family: str,
    adapter: str,
    tuned: AdapterConfig,
    write_model: Any,
    tiny_opt: Path,
    tmp_path: Path,
):
    folder = shutil.copytree(write_model(family)[0], tmp_path / "model")
    if family == "roberta":
        masked_tokenizer_of(tiny_opt).save_pretrained(folder)
    files = {name: tmp_path / f"{name}.jsonl" for name in ("train", "test")}
    rows = [{"text": f"{('film', 'story')[i % 2]} a It {i}", "label": i % 2} for i in range(12)]
    for file in files.values():
        file.write_text("\n".join(map(json.dumps, rows)))
    result = finetune(
        FinetuneConfig(
            model=str(folder),
            optimizer="mezo",
            start="words",
            steps=2,
            batch_size=4,
            eval_batch_size=16,
            data=DataConfig(**files, num_buckets=1, max_length=24),
            tuned=tuned,
            hyper=HyperParameters(learning_rate=1e-3, eps=1e-3),
            output=tmp_path / "run",
        ),
        report="last",
    )
    assert np.isfinite(result.tuned.loss)
    names = {file.name for file in result.model_folder.iterdir()}
    weights = {"lora": "adapter_model.safetensors", "prefix": "adapter.safetensors"}
    assert {weights.get(adapter, "model.safetensors"), "README.md"} <= names
    if adapter == "whole":
        kind = "MaskedLM" if family == "roberta" else "CausalLM"
        theirs, info = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
            result.model_folder, attn_implementation="eager", output_loading_info=True
        )
        assert not {name: keys for name, keys in info.items() if keys}
        model = zojax.lm.models.load(result.model_folder)
        expected = np.asarray(jax.jit(model.apply)(model.params, IDS, np.ones_like(IDS)))
        with torch.no_grad():
            logits = theirs.eval()(torch.tensor(IDS)).logits.numpy()
        np.testing.assert_allclose(logits, expected, atol=1e-4)

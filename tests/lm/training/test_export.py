"""Exported runs and their model cards."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_models import tokenizer_of, write_tiny_model

import zojax.lm.models
from zojax.cli import main
from zojax.lm.adapters import load_adapter
from zojax.lm.training import (
    AdapterConfig,
    DataConfig,
    FinetuneConfig,
    HyperParameters,
    Result,
    export_run,
    finetune,
    replay_run,
)
from zojax.lm.training._card import model_card

# optax's own rules promote integer counts with floats.
pytestmark = pytest.mark.usefixtures("standard_promotion")

IDS = np.array([[2, 5, 6, 7, 8]], np.int32)
MODEL = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
LORA = {"adapter.json", "adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture(scope="module")
def short(base: FinetuneConfig) -> FinetuneConfig:
    return dataclasses.replace(base, steps=2, eval_every=1, batch_size=4)


@pytest.fixture(scope="module")
def whole(short: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return finetune(dataclasses.replace(short, output=tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def lora(short: FinetuneConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    config = dataclasses.replace(
        short,
        output=tmp_path_factory.mktemp("lora"),
        tuned=AdapterConfig("lora", rank=2, alpha=3.0),
        hyper=HyperParameters(learning_rate=0.1, eps=0.1),
    )
    return finetune(config)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def logits(model: Any) -> np.ndarray:
    return np.asarray(jax.jit(model.apply)(model.params, IDS, np.ones_like(IDS)))


def card(folder: Path) -> tuple[dict[str, Any], str]:
    """The metadata, each line of which is a name and a value of JSON or a word, and the text."""
    _, metadata, text = (folder / "README.md").read_text().split("---\n", 2)
    lines = dict(line.split(": ", 1) for line in metadata.splitlines())
    return {k: json.loads(v) if v[0] in '["' else v for k, v in lines.items()}, text


@pytest.mark.quick
def test_a_whole_model(whole: Result, tmp_path: Path):
    output = export_run(whole.folder, tmp_path / "out", which="last")
    assert output == tmp_path / "out"
    assert names(output) == {*MODEL, "README.md"}
    tuned = zojax.lm.models.load(whole.model_folder)
    jax.tree.map(np.testing.assert_array_equal, zojax.lm.models.load(output).params, tuned.params)


def test_a_lora_is_exported_in_pefts_format_and_merged(lora: Result, tmp_path: Path):
    assert names(export_run(lora.folder, tmp_path / "lora", which="last")) == {*LORA, "README.md"}
    base = zojax.lm.models.load(json.loads((lora.folder / "config.json").read_text())["model"])
    adapted = load_adapter(base, tmp_path / "lora")[1]
    export_run(lora.folder, tmp_path / "merged", which="last", merge_adapter=True)
    assert names(tmp_path / "merged") == {*MODEL, "README.md"}
    merged = zojax.lm.models.load(tmp_path / "merged")
    assert np.abs(logits(adapted) - logits(base)).max() > 1e-3
    np.testing.assert_allclose(logits(merged), logits(adapted), atol=1e-5)
    torch = pytest.importorskip("torch", reason="needs torch, whose model reads the folder")
    transformers = pytest.importorskip("transformers", reason="needs transformers, the reader")
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        np.testing.assert_allclose(
            theirs(torch.tensor(IDS)).logits.numpy(), logits(adapted), atol=1e-4
        )


def test_the_best_and_the_last(whole: Result, tmp_path: Path):
    # As a run leaves it whose second of three evaluations was the best.
    run = tmp_path / "run"
    export_run(whole.folder, run / "model", which="last")
    export_run(whole.folder, run / "best", which="last")
    (run / "best" / "config.json").write_text("{}")
    (run / "config.json").write_text((whole.folder / "config.json").read_text())
    assert (export_run(run, tmp_path / "best") / "config.json").read_text() == "{}"
    assert (export_run(run, tmp_path / "last", which="last") / "config.json").read_text() != "{}"
    for file in (run / "best").iterdir():
        file.unlink()
    (run / "best").rmdir()
    # The last step was the best one.
    (run / "results.json").write_text(json.dumps({"best_step": 2, "steps": 2}))
    assert (export_run(run, tmp_path / "2") / "config.json").read_text() != "{}"
    (run / "results.json").write_text(json.dumps({"best_step": 0, "steps": 2}))
    with pytest.raises(ValueError, match=r"no step of the run .* scored better .*--which last"):
        export_run(run, tmp_path / "3")
    assert not (tmp_path / "3").exists()


def test_what_is_refused(whole: Result, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*config\.json"):
        export_run(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="export: which must be best or last, got 'first'"):
        export_run(whole.folder, tmp_path / "out", which="first")
    with pytest.raises(ValueError, match="export: merge must be left out for a run without"):
        export_run(whole.folder, tmp_path / "out", merge_adapter=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match="export: output must be a new or empty folder"):
        export_run(whole.folder, tmp_path / "full")
    assert (tmp_path / "full" / "README.md").read_text() == "mine"
    run = tmp_path / "killed"
    run.mkdir()
    (run / "config.json").write_text((whole.folder / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match=r"export: there is no saved model .* --resume"):
        export_run(run, tmp_path / "out")
    (run / "results.json").write_text("[]")
    with pytest.raises(ValueError, match=r"export: .*results\.json must be a run's results"):
        export_run(run, tmp_path / "out")
    (run / "results.json").unlink()
    (run / "best").mkdir()
    with pytest.raises(FileNotFoundError, match="Take which=best"):
        export_run(run, tmp_path / "out", which="last")


@pytest.mark.slow
def test_a_prefix_is_exported_alone(short: FinetuneConfig, tmp_path: Path):
    tuned, hyper = AdapterConfig("prefix", length=2), HyperParameters(learning_rate=0.1, eps=0.1)
    run = finetune(
        dataclasses.replace(short, output=tmp_path / "run", tuned=tuned, hyper=hyper),
        report="last",
    ).folder
    with pytest.raises(ValueError, match=r"merge: adapter must be a LoRA or .* got Prefix"):
        export_run(run, tmp_path / "out", which="last", merge_adapter=True)
    assert not (tmp_path / "out").exists()
    export_run(run, tmp_path / "out", which="last")
    assert names(tmp_path / "out") == {"adapter.json", "adapter.safetensors", "README.md"}
    metadata, text = card(tmp_path / "out")
    assert metadata["library_name"] == "zojax"
    assert "A prefix tuned by forward passes alone" in text
    assert "peft" not in text


@pytest.mark.quick
def test_the_command(whole: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["export", str(whole.folder), f"--output={tmp_path / 'out'}", "--which=last"]
    assert main(command) == 0
    assert f"exported   {tmp_path / 'out'}" in capsys.readouterr().out
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert main([*command, "--merge"]) == 1
    assert "zojax: export: output must be a new or empty folder" in capsys.readouterr().err


@pytest.mark.quick
def test_the_card_of_a_whole_model(whole: Result, short: FinetuneConfig):
    metadata, text = card(whole.model_folder)
    assert metadata == {
        "base_model": short.model,
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["zojax", "zeroth-order"],
    }
    assert "| method | `mezo`: learning_rate 0.001," in text
    assert "| steps | 2 of 2, each of 4 examples |" in text
    assert "| seed | 0 |" in text
    assert "| data | rotten-tomatoes: train train.jsonl, dev dev.jsonl, test test.jsonl," in text
    assert re.search(r"\| versions \| zojax [\d.]+, jax [\d.]+", text)
    assert "| adapter" not in text
    # The scores, on dev and on test.
    results = json.loads((whole.folder / "results.json").read_text())["test"]["tuned"]
    assert "| test | " + " | ".join(f"{value:.6g}" for value in results.values()) + " |" in text
    lines = (whole.folder / "metrics.jsonl").read_text().splitlines()
    dev = [line for line in map(json.loads, lines) if line["step"] == 2 and "dev_loss" in line]
    assert f"| dev | {dev[0]['dev_accuracy']:.6g} | {dev[0]['dev_loss']:.6g} |" in text
    assert "AutoModelForCausalLM.from_pretrained(folder)" in text


def test_the_cards_of_a_lora(lora: Result, tmp_path: Path):
    metadata, text = card(lora.model_folder)
    assert metadata["library_name"] == "peft"
    assert metadata["base_model_relation"] == "adapter"
    assert metadata["tags"] == ["zojax", "zeroth-order", "lora"]
    assert "| adapter | lora: rank 2, alpha 3.0 |" in text
    assert "PeftModel.from_pretrained" in text
    export_run(lora.folder, tmp_path / "merged", which="last", merge_adapter=True)
    merged, text = card(tmp_path / "merged")
    assert (merged["library_name"], merged["base_model_relation"]) == ("transformers", "finetune")
    assert "| adapter | lora, merged into the weights: rank 2, alpha 3.0 |" in text
    assert "| test | " in text
    # What the card says to run does run.
    for folder in (lora.model_folder, tmp_path / "merged"):
        code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
        scope: dict[str, Any] = {"folder": folder}
        exec(code, scope)
        np.testing.assert_allclose(
            logits(scope["model"]), logits(zojax.lm.models.load(tmp_path / "merged")), atol=1e-5
        )


@pytest.mark.quick
def test_a_card_shows_defaults_and_keeps_its_table():
    config = FinetuneConfig(
        model="owner/name",
        tuned=AdapterConfig("lora"),
        data=DataConfig(task="sst2", template="{text} | {label}"),
    )
    text = model_card(config, kind="masked", step=7, dev={}, test=None, versions={"zojax": "1.2"})
    assert 'base_model: "owner/name"\n' in text
    assert "pipeline_tag: fill-mask\n" in text
    assert "# name tuned on sst2\n" in text
    assert "| adapter | lora: rank 8, alpha 16.0 |\n" in text
    assert "template {text} \\| {label}," in text
    assert "AutoModelForMaskedLM" in text


def test_a_replayed_model_has_a_card(whole: Result, short: FinetuneConfig, tmp_path: Path):
    replay_run(short.model, whole.folder, tmp_path / "out", until=1)
    metadata, text = card(tmp_path / "out")
    assert metadata["library_name"] == "transformers"
    assert "| steps | 1 of 2, each of 4 examples |" in text
    assert "They were not measured." in text


@pytest.mark.slow
def test_a_tied_head_is_not_merged(short: FinetuneConfig, tiny_opt: Path, tmp_path: Path):
    hyper = HyperParameters(learning_rate=1e-3, eps=1e-3)
    tuned = AdapterConfig("head")
    config = dataclasses.replace(short, tuned=tuned, hyper=hyper, output=tmp_path / "tied")
    run = finetune(config, report="last").folder
    with pytest.raises(ValueError, match="merge: a tuned head must not be tied"):
        export_run(run, tmp_path / "out", which="last", merge_adapter=True)
    assert not (tmp_path / "out").exists()
    untied = write_tiny_model(
        tmp_path / "untied", "opt", tokenizer_of(tiny_opt), tie_word_embeddings=False
    )
    config = dataclasses.replace(config, model=str(untied), output=tmp_path / "run")
    run = finetune(config, report="last").folder
    export_run(run, tmp_path / "out", which="last", merge_adapter=True)
    base, merged = zojax.lm.models.load(untied), zojax.lm.models.load(tmp_path / "out")
    head = [params["lm_head"]["kernel"] for params in (base.params, merged.params)]
    assert (head[0] != head[1]).any()

"""The files that weights come in."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import jax
import ml_dtypes
import numpy as np
import pytest
from flax.serialization import msgpack_serialize
from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file, save_file

import zojax.lm.models

SAFETENSORS, MSGPACK, PYTORCH = "model.safetensors", "flax_model.msgpack", "pytorch_model.bin"


def halves(tensors: dict[str, Any]) -> list[dict[str, Any]]:
    names = sorted(tensors)
    parts = names[: len(names) // 2], names[len(names) // 2 :]
    return [{name: tensors[name] for name in part} for part in parts]


def flax_named(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names and layouts of transformers' Flax model."""
    named: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "weight":
            leaf = "scale" if tensor.ndim == 1 else "kernel"
            leaf = "embedding" if ".embed_" in module else leaf
        named[f"{module}.{leaf}"] = np.ascontiguousarray(tensor.T if leaf == "kernel" else tensor)
    return named


def write(tensors: dict[str, np.ndarray], file: Path):
    if file.suffix == ".safetensors":
        save_file(tensors, file)  # without the metadata that says who wrote it
    elif file.suffix == ".msgpack":
        tree = unflatten_dict({tuple(name.split(".")): x for name, x in tensors.items()})
        file.write_bytes(msgpack_serialize(tree))
    else:
        torch = pytest.importorskip("torch", reason="needs torch, whose format this is")
        torch.save({name: torch.tensor(x) for name, x in tensors.items()}, file)


def write_shards(tensors: dict[str, np.ndarray], folder: Path, name: str):
    stem, suffix = name.split(".")
    weight_map: dict[str, str] = {}
    for i, part in enumerate(halves(tensors)):
        shard = f"{stem}-{i + 1:05}-of-00002.{suffix}"
        write(part, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.fixture
def folder(tiny_opt: Path, tmp_path: Path) -> Path:
    """The tiny OPT without weights."""
    shutil.copytree(tiny_opt, tmp_path / "model")
    (tmp_path / "model" / SAFETENSORS).unlink()
    return tmp_path / "model"


@pytest.mark.quick
@pytest.mark.parametrize("shards", [False, True], ids=["whole", "shards"])
@pytest.mark.parametrize(
    ("name", "flax"),
    [(SAFETENSORS, False), (SAFETENSORS, True), (MSGPACK, True), (PYTORCH, False)],
)
def test_every_format(tiny_opt: Path, folder: Path, name: str, flax: bool, shards: bool):
    tensors = load_file(tiny_opt / SAFETENSORS)
    if flax:
        tensors = flax_named(tensors)
    if shards:
        write_shards(tensors, folder, name)
    else:
        write(tensors, folder / name)
    model = zojax.lm.models.load(folder, from_pt=name == PYTORCH)
    expected = zojax.lm.models.load(tiny_opt)
    jax.tree.map(np.testing.assert_array_equal, model.params, expected.params)


@pytest.mark.quick
def test_bfloat16_is_read_as_it_is(tiny_opt: Path, folder: Path):
    tensors = {
        name: x.astype(ml_dtypes.bfloat16) for name, x in load_file(tiny_opt / SAFETENSORS).items()
    }
    save_file(tensors, folder / SAFETENSORS)
    model = zojax.lm.models.load(folder, dtype="bfloat16")
    torch = pytest.importorskip("torch", reason="needs torch, whose format this is")
    torch.save(
        {name: torch.tensor(x.astype(np.float32)).bfloat16() for name, x in tensors.items()},
        folder / PYTORCH,
    )
    (folder / SAFETENSORS).unlink()
    again = zojax.lm.models.load(folder, dtype="bfloat16", from_pt=True)
    expected = tensors["model.decoder.embed_tokens.weight"]
    for params in (model.params, again.params):
        embedding = params["embed_tokens"]["embedding"]
        np.testing.assert_array_equal(embedding, expected)


def test_names_without_the_models_prefix(write_model: Any, tmp_path: Path):
    source, _ = write_model("opt")
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    tensors = load_file(source / SAFETENSORS)
    write({name.removeprefix("model."): x for name, x in tensors.items()}, tmp_path / SAFETENSORS)
    jax.tree.map(
        np.testing.assert_array_equal,
        zojax.lm.models.load(tmp_path).params,
        zojax.lm.models.load(source).params,
    )


def test_a_head_is_missing_unless_it_is_tied(write_model: Any, tmp_path: Path):
    source, _ = write_model("llama")
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    tensors = load_file(source / SAFETENSORS)
    del tensors["lm_head.weight"]
    save_file(tensors, tmp_path / SAFETENSORS)
    with pytest.raises(ValueError, match=r"lacks 1 weights.*lm_head\.weight"):
        zojax.lm.models.load(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    assert "lm_head" not in zojax.lm.models.load(tmp_path).params


def test_other_shapes_are_refused(tiny_opt: Path, folder: Path):
    tensors = load_file(tiny_opt / SAFETENSORS)
    tensors["model.decoder.layers.0.fc1.bias"] = np.zeros(31, np.float32)
    save_file(tensors, folder / SAFETENSORS)
    with pytest.raises(ValueError, match=r"fc1\.bias must have the shape \(32,\).* got \(31,\)"):
        zojax.lm.models.load(folder)


def test_no_weights(folder: Path):
    with pytest.raises(FileNotFoundError, match=r"neither model\.safetensors nor flax_.*from_pt"):
        zojax.lm.models.load(folder)
    with pytest.raises(
        FileNotFoundError, match=r"nor pytorch_model\.bin, in one file or sharded\.$"
    ):
        zojax.lm.models.load(folder, from_pt=True)


def test_torch_is_missing(tiny_opt: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    write(load_file(tiny_opt / SAFETENSORS), folder / PYTORCH)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="needs PyTorch: pip install torch"):
        zojax.lm.models.load(folder, from_pt=True)


def test_a_shard_is_missing(tiny_opt: Path, folder: Path):
    write_shards(load_file(tiny_opt / SAFETENSORS), folder, SAFETENSORS)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks the shard model-00002-of-00002"):
        zojax.lm.models.load(folder)


@pytest.mark.parametrize("name", [SAFETENSORS, MSGPACK])
@pytest.mark.parametrize("size", [0, 5, 999, -1])
def test_weights_that_are_cut_off(tiny_opt: Path, folder: Path, name: str, size: int):
    write(load_file(tiny_opt / SAFETENSORS), folder / name)
    (folder / name).write_bytes((folder / name).read_bytes()[:size])
    with pytest.raises(ValueError, match=rf"load: .*{name} is truncated or damaged"):
        zojax.lm.models.load(folder)


def test_a_hub_name(tiny_opt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As the hub's client keeps it after a download."""
    commit = "0" * 40
    repository = tmp_path / "models--someone--tiny"
    shutil.copytree(tiny_opt, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = zojax.lm.models.load("someone/tiny")
    jax.tree.map(np.testing.assert_array_equal, model.params, zojax.lm.models.load(tiny_opt).params)


def test_a_name_that_the_hub_does_not_have(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name in ("someone/nothing", "some one/no..thing"):
        with pytest.raises(FileNotFoundError, match=f"load: '{name}' is neither a folder nor"):
            zojax.lm.models.load(name)


def test_weights_that_are_not_known_are_refused(tiny_opt: Path, folder: Path):
    tensors = load_file(tiny_opt / SAFETENSORS)
    extra = {"model.decoder.layers.0.gate.weight": np.zeros(2, np.float32)}
    save_file({**tensors, **extra}, folder / SAFETENSORS)
    with pytest.raises(ValueError, match=r"has 1 weights that are not known .*layers\.0\.gate"):
        zojax.lm.models.load(folder)


def test_generation_settings_go_along(tiny_opt: Path, tmp_path: Path):
    shutil.copytree(tiny_opt, tmp_path / "model")
    # transformers would not write these again: a temperature without sampling.
    text = json.dumps({"temperature": 0.9, "do_sample": False})
    (tmp_path / "model" / "generation_config.json").write_text(text)
    model = zojax.lm.models.load(tmp_path / "model")
    model.save(model.params, tmp_path / "saved")
    assert (tmp_path / "saved" / "generation_config.json").read_text() == text

"""Saved adapters: what is written, what is read again, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zojax.lm.adapters import (
    Adapter,
    HeadTuning,
    LoRA,
    Prefix,
    VirtualTokens,
    load_adapter,
    merge,
    save_adapter,
)
from zojax.lm.adapters._files import _sha256

ADAPTERS = [
    LoRA(rank=2, alpha=3.0, targets=("k_proj", "up_proj")),
    Prefix(3),
    VirtualTokens(2, init="random"),
    HeadTuning(),
]


def tuned(adapter: Adapter, base):
    model = adapter.adapt(base, 0)
    own = jax.tree.map(lambda leaf: leaf + jnp.asarray(0.25, leaf.dtype), model.params["adapter"])
    return {**model.params, "adapter": own}


@pytest.fixture
def saved(load, tmp_path: Path) -> Path:
    base = load("opt")
    save_adapter(ADAPTERS[1], base, tuned(ADAPTERS[1], base), tmp_path)
    return tmp_path


def edit(folder: Path, **changes) -> None:
    path = folder / "adapter.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({**content, "sha256": _sha256(content)}))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_saved_adapter_loads_again(adapter: Adapter, dtype: str, load, tmp_path: Path):
    base = load("opt", dtype)
    params = tuned(adapter, base)
    save_adapter(adapter, base, params, tmp_path / "new" / "folder")
    again, model = load_adapter(base, tmp_path / "new" / "folder")
    assert again == adapter
    assert jax.tree.map(lambda x: x.dtype, model.params) == jax.tree.map(lambda x: x.dtype, params)
    jax.tree.map(np.testing.assert_array_equal, model.params, params)
    assert model.params["model"] is base.params
    np.testing.assert_array_equal(
        jax.eval_shape(
            model.apply, model.params, jnp.ones((1, 3), int), jnp.ones((1, 3), int)
        ).shape,
        (1, 3, base.config.vocab_size),
    )


def test_only_the_adapter_is_written(saved: Path, load, make):
    assert {path.name for path in saved.iterdir()} == {"adapter.json", "adapter.safetensors"}
    own = tuned(ADAPTERS[1], load("opt"))["adapter"]
    values = sum(leaf.nbytes for leaf in jax.tree.leaves(own))
    assert (saved / "adapter.safetensors").stat().st_size < values + 4096
    assert json.loads((saved / "adapter.json").read_text())["base"]["name"] == str(make("opt"))


def test_nothing_is_overwritten_unasked(saved: Path, load):
    base, adapter = load("opt"), Prefix(2)
    params = tuned(adapter, base)
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(FileExistsError, match=r"there is adapter\.json in"):
        save_adapter(adapter, base, params, saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    save_adapter(adapter, base, params, saved, overwrite=True)
    assert load_adapter(base, saved)[0] == adapter


def test_another_base_is_refused(saved: Path, load, make):
    base = load("opt")
    with pytest.raises(ValueError, match=rf"trained on, {make('opt')}, with parameters of float32"):
        load_adapter(load("opt", "bfloat16"), saved)
    table = base.params["embed_tokens"]["embedding"]
    near = jax.tree.map(lambda x: x.at[3, 4].add(1e-6) if x is table else x, base.params)
    with pytest.raises(ValueError, match="Load that model, in that dtype"):
        load_adapter(dataclasses.replace(base, params=near), saved)


@pytest.mark.quick
def test_damaged_files(saved: Path, load):
    weights = (saved / "adapter.safetensors").read_bytes()
    (saved / "adapter.safetensors").write_bytes(weights[:-7])
    with pytest.raises(ValueError, match="truncated, damaged, edited or of another adapter"):
        load_adapter(load("opt"), saved)
    (saved / "adapter.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no .*adapter\.safetensors"):
        load_adapter(load("opt"), saved)
    settings = (saved / "adapter.json").read_text()
    (saved / "adapter.json").write_text(settings[:-20])
    with pytest.raises(ValueError, match="must be an adapter's settings"):
        load_adapter(load("opt"), saved)
    with pytest.raises(FileNotFoundError, match=r"there is no .*adapter\.json"):
        load_adapter(load("opt"), saved / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(format=1), "the format of .* must be 2, got 1"),
        (dict(kind="ia3"), "must be one of lora, prefix, virtual_tokens, head, got 'ia3'"),
        (dict(settings={"len": 2}), "must be those of a prefix adapter, got {'len': 2}"),
        (dict(kind="lora", settings=dict(rank=0)), "rank must be >= 1"),
        (dict(settings=None), "must be those of a prefix adapter, got None"),
        # Settings of the right kind, but not those of the values.
        (dict(settings=dict(length=2)), "the settings do not fit the values"),
        (dict(kind="virtual_tokens", settings=dict(length=3)), "the settings do not fit"),
        (dict(kind="lora", settings=dict(rank=2)), "there is no .*adapter_config"),
    ],
)
def test_settings_that_do_not_fit(changes, message: str, saved: Path, load):
    edit(saved, **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_adapter(load("opt"), saved)


def test_an_edited_setting_is_found(load, tmp_path: Path):
    """Neither the shapes nor the weights' hash would tell that alpha is another."""
    base, saved = load("opt"), tmp_path
    save_adapter(ADAPTERS[0], base, tuned(ADAPTERS[0], base), saved)
    path = saved / "adapter.json"
    path.write_text(path.read_text().replace('"alpha": 3.0', '"alpha": 30.0'))
    with pytest.raises(ValueError, match=r"adapter\.json must be as it was saved"):
        load_adapter(load("opt"), saved)


def test_what_cannot_be_saved_or_merged(load, tmp_path: Path):
    class Other(LoRA):
        pass

    base = load("opt")
    adapter = Prefix(2)
    params = adapter.adapt(base, 0).params
    with pytest.raises(TypeError, match=r"must be one of LoRA, Prefix, .* got Other"):
        save_adapter(Other(), base, params, tmp_path)
    with pytest.raises(ValueError, match="save_adapter: params must be the adapted model's tree"):
        save_adapter(adapter, base, base.params, tmp_path)
    with pytest.raises(ValueError, match="merge: params must be the adapted model's tree"):
        merge(adapter, base.params)
    for adapter in (Prefix(2), VirtualTokens(2)):
        with pytest.raises(ValueError, match="whose effect no weights of the model can have"):
            merge(adapter, adapter.adapt(base, 0).params)
    with pytest.raises(ValueError, match=r"LanguageModel\.save: the model must be one without"):
        adapter.adapt(base, 0).save(params, tmp_path / "model")
    assert not list(tmp_path.glob("adapter*"))

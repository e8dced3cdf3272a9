"""Saves and loads an adapter without the model, which is much larger."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from zojax.lm.adapters import _peft
from zojax.lm.adapters._adapter import ADAPTER, MODEL, Adapter, LeafPath, check_tree, flat, nested
from zojax.lm.adapters._head import HeadTuning
from zojax.lm.adapters._lora import LoRA
from zojax.lm.adapters._prefix import Prefix
from zojax.lm.adapters._virtual_tokens import VirtualTokens
from zojax.lm.models import LanguageModel, Params
from zojax.trajectory import fingerprint

WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"
_FILES = (SETTINGS, WEIGHTS, _peft.WEIGHTS, _peft.CONFIG)
FORMAT = 2
_CONTENT = ("format", "kind", "settings", "files", "base")
_CHECKSUM = "sha256"  # entry with the checksum of the settings file itself
_KINDS: dict[str, type[Adapter]] = {
    "lora": LoRA,
    "prefix": Prefix,
    "virtual_tokens": VirtualTokens,
    "head": HeadTuning,
}


def save_adapter(
    adapter: Adapter,
    model: LanguageModel,
    params: Params,
    folder: str | Path,
    *,
    overwrite: bool = False,
) -> None:
    """Write an adapter's values and settings, and the identity of its base model.

    A LoRA is written in the format of peft, ``adapter_model.safetensors`` and
    ``adapter_config.json``, which many programs read; the other adapters, which peft does not
    have, are written into ``adapter.safetensors``. ``adapter.json`` has SHA-256 checksums of the
    base parameters, so that the adapter cannot be used with others unnoticed, of the other files,
    and of itself.

    Args:
      adapter: The adapter that made ``params``.
      model: The base model, or the adapted one: the names of its modules, and where it came from.
      params: The tree of the adapted model, ``{"model": ..., "adapter": ...}``.
      folder: Made if it does not exist.
      overwrite: Replace an adapter that the folder contains.

    Cost: reads every base parameter once, for its hash.

    Raises:
      FileExistsError: ``folder`` contains an adapter, and ``overwrite`` is False.
      TypeError: ``adapter`` is not of a class of this package.
      ValueError: ``params`` is not the tree of an adapted model.
    """
    kinds = [name for name, kind in _KINDS.items() if type(adapter) is kind]
    if not kinds:
        names = ", ".join(kind.__name__ for kind in _KINDS.values())
        raise TypeError(
            f"save_adapter: adapter must be one of {names}, got {type(adapter).__name__}."
        )
    check_tree("save_adapter", params)
    folder = Path(folder)
    taken = [name for name in _FILES if (folder / name).exists()]
    if taken and not overwrite:
        raise FileExistsError(
            f"save_adapter: there is {taken[0]} in {folder}. Choose another folder, "
            "or overwrite it."
        )
    files = _contents(adapter, model, params)
    content = {
        "format": FORMAT,
        "kind": kinds[0],
        "settings": dataclasses.asdict(adapter),  # pyright: ignore[reportArgumentType]
        "files": {name: hashlib.sha256(file).hexdigest() for name, file in files.items()},
        "base": {
            "name": model.source,
            "dtypes": _dtypes(params[MODEL]),
            "sha256": fingerprint(params[MODEL]),
        },
    }
    content[_CHECKSUM] = _sha256(content)
    folder.mkdir(parents=True, exist_ok=True)
    for name in taken:
        (folder / name).unlink()
    for name, file in {**files, SETTINGS: _json(content)}.items():
        _replace(folder / name, file)


def save_peft(adapter: LoRA, model: LanguageModel, own: Params, folder: str | Path) -> None:
    """Write a LoRA as peft does, for programs that read it: without the identity of its base model.

    Args:
      adapter: The adapter that made ``own``; peft has no format for others than LoRA.
      model: The base model, of which names and shapes are read, and no weights.
      own: The adapter's parameters, ``params["adapter"]`` of an adapted model.
      folder: Made if it does not exist; an adapter in it is replaced.

    Cost: one copy of the adapter on the host.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in _peft_files(adapter, model, {MODEL: model.params, ADAPTER: own}).items():
        _replace(folder / name, file)


def load_adapter(model: LanguageModel, folder: str | Path) -> tuple[Adapter, LanguageModel]:
    """Load an adapter that :func:`save_adapter` wrote, or a LoRA that peft wrote.

    Args:
      model: The base model, with exactly the parameters that the adapter was trained on. A folder
        of peft, without ``adapter.json``, does not tell which these are.
      folder: The adapter's folder.

    Returns:
      The adapter with its settings, and the adapted model.

    Cost: reads every base parameter once, for its hash.

    Raises:
      FileNotFoundError: A file is missing.
      ValueError: A file is damaged, its format or kind is unknown, the adapter belongs to another
        model, or peft's settings change the function in a way that is not supported.
    """
    folder = Path(folder)
    if not (folder / SETTINGS).is_file() and (folder / _peft.CONFIG).is_file():
        adapter, own = _read_peft(model, folder)
        return adapter, adapter.wrap(model, nested(own))
    content = _read_settings(folder / SETTINGS)
    adapter = _adapter(content, folder / SETTINGS)
    base, found = content["base"], fingerprint(model.params)
    if base["sha256"] != found:
        raise ValueError(
            f"load_adapter: model must be the one that {folder} was trained on, "
            f"{base['name'] or 'an unnamed model'}, with parameters of {base['dtypes']} and "
            f"SHA-256 {base['sha256'][:12]}..., got one of {_dtypes(model.params)} and "
            f"{found[:12]}.... Load that model, in that dtype; for a run of "
            "zo_sgd_blockwise with scan_layers=False."
        )
    for name, sha256 in content["files"].items():
        if hashlib.sha256(_read(folder / name)).hexdigest() != sha256:
            raise ValueError(
                f"load_adapter: {folder / name} must be the file that was saved with its "
                f"{SETTINGS}, got one of another SHA-256: it is truncated, damaged, edited or of "
                "another adapter. Copy it again."
            )
    if isinstance(adapter, LoRA):
        weights, own = folder / _peft.WEIGHTS, _read_peft(model, folder)[1]
    else:
        weights = folder / WEIGHTS
        own = {tuple(name.split("/")): leaf for name, leaf in _tensors(weights).items()}
    expected = flat(jax.eval_shape(lambda: adapter.initial(model, jax.random.key(0))))
    _same_shapes(own, expected, weights)
    return adapter, adapter.wrap(model, nested(own))


def _contents(adapter: Adapter, model: LanguageModel, params: Params) -> dict[str, bytes]:
    """The content of the files beside ``adapter.json``."""
    if isinstance(adapter, LoRA):
        return _peft_files(adapter, model, params)
    from safetensors.flax import save

    return {WEIGHTS: save({"/".join(path): leaf for path, leaf in flat(params[ADAPTER]).items()})}


def _peft_files(adapter: LoRA, model: LanguageModel, params: Params) -> dict[str, bytes]:
    from safetensors.numpy import save

    tensors = _peft.peft_tensors(model, params[ADAPTER])
    return {
        _peft.WEIGHTS: save(tensors, metadata={"format": "pt"}),
        _peft.CONFIG: _json(_peft.peft_config(adapter, model, params)),
    }


def _read_peft(model: LanguageModel, folder: Path) -> tuple[LoRA, dict[LeafPath, Array]]:
    settings = _peft.check_settings(_read(folder / _peft.CONFIG), folder / _peft.CONFIG)
    weights = folder / _peft.WEIGHTS
    tensors = {name: np.asarray(tensor) for name, tensor in _tensors(weights).items()}
    return _peft.read_peft(model, settings, tensors, weights)


def _sha256(content: dict[str, Any]) -> str:
    """SHA-256 of the settings: nothing else would reveal a changed number, such as LoRA's alpha."""
    text = json.dumps({name: content[name] for name in _CONTENT}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_settings(path: Path) -> dict[str, Any]:
    altered = False
    try:
        content = json.loads(_read(path))
        if content["format"] == FORMAT:
            altered = content[_CHECKSUM] != _sha256(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"load_adapter: {path} must be an adapter's settings, as save_adapter writes them, got "
            f"something else ({error!r})."
        ) from error
    if content["format"] != FORMAT:
        raise ValueError(
            f"load_adapter: the format of {path} must be {FORMAT}, got {content['format']!r}. It "
            "was written by another version of zojax: use that one."
        )
    if altered:
        raise ValueError(
            f"load_adapter: {path} must be as it was saved, got one of another SHA-256: it is "
            "damaged, or has been edited. Copy it again."
        )
    return content


def _adapter(content: dict[str, Any], path: Path) -> Adapter:
    kind, settings = content["kind"], content["settings"]
    if kind not in _KINDS:
        raise ValueError(
            f"load_adapter: the kind in {path} must be one of {', '.join(_KINDS)}, got {kind!r}."
        )
    try:
        return _KINDS[kind](
            **{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"load_adapter: the settings in {path} must be those of a {kind} adapter, got "
            f"{settings!r} ({error})."
        ) from error


def _tensors(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.flax import load_file

    _read(path)
    try:
        # safetensors' `load`, which takes the bytes, does not support bfloat16.
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"load_adapter: {path} is truncated or damaged ({error}). Copy it again."
        ) from error


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(
            f"load_adapter: there is no {path}. Give a folder that save_adapter or peft wrote."
        )
    return path.read_bytes()


def _same_shapes(own: dict[LeafPath, Array], expected: dict[LeafPath, Any], path: Path) -> None:
    shapes = {"/".join(name): leaf.shape for name, leaf in own.items()}
    wanted = {"/".join(name): leaf.shape for name, leaf in expected.items()}
    wrong = sorted(name for name in shapes | wanted if shapes.get(name) != wanted.get(name))
    if wrong:
        raise ValueError(
            f"load_adapter: {path} must have {wrong[0]} of shape {wanted.get(wrong[0])}, got "
            f"{shapes.get(wrong[0])}: the settings do not fit the values."
        )


def _dtypes(params: Params) -> str:
    return ", ".join(sorted({str(leaf.dtype) for leaf in jax.tree.leaves(params)}))


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically: a crash leaves the old content or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)

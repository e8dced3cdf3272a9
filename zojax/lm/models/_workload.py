"""Language models for planning: their shapes and their loss, without their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import DTypeLike

from zojax.lm.models._config import ModelConfig
from zojax.lm.models._families import family
from zojax.lm.models._known import model_config
from zojax.lm.models._required import require_packages
from zojax.planning import Workload


def workload(
    model: str | Path,
    *,
    batch: int,
    length: int,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike | None = None,
    layers: int | None = None,
    scan_layers: bool = True,
) -> Workload:
    """Describe a model by the shapes of its parameters and batch, and its loss over all tokens.

    Args:
      model: One of ``MODELS``, or transformers' ``config.json`` of a family that :func:`load`
        knows, or a folder with one. No weights are read.
      batch, length: Shape of the batch, in sequences and tokens.
      dtype: Dtype of the computation.
      param_dtype: Dtype of the parameters; None means ``dtype``.
      layers: The number of transformer blocks, ≥ 1; None means the model's own number.
      scan_layers: Whether the layers are scanned.

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
    from zojax.lm.models._network import Network
    from zojax.lm.models._transformer import Transformer

    config = model_config(model)
    if layers is not None:
        config = ModelConfig({**config.values, "num_hidden_layers": layers}, config.source)
    kind = family(config.model_type, config.source)
    settings = kind.config(config)
    if length > settings.max_length:
        raise ValueError(
            f"workload: length must be <= {settings.max_length} for {model}, got {length}."
        )
    module = Transformer(
        settings, jnp.dtype(dtype), jnp.dtype(param_dtype or dtype), scan_layers=scan_layers
    )
    network = Network(module, config.model_type)

    def loss(params: Any, tokens: Array) -> Array:
        hidden, _ = network.hidden(params, tokens, jnp.ones_like(tokens))
        logits = network.logits(params, hidden)
        if settings.causal:
            logits, tokens = logits[:, :-1], tokens[:, 1:]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens)
        return losses.mean()

    return Workload(
        network.shapes(),
        jax.ShapeDtypeStruct((batch, length), jnp.int32),
        loss,
        name=str(model),
        layers=settings.num_layers,
        at_depth=lambda layers: workload(
            model,
            batch=batch,
            length=length,
            dtype=dtype,
            param_dtype=param_dtype,
            layers=layers,
            scan_layers=scan_layers,
        ),
    )

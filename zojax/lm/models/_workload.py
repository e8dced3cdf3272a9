"""Language models for planning: their shapes and their loss, without their weights."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import DTypeLike

from zojax.lm.models._known import model_config
from zojax.lm.models._quiet import quiet
from zojax.planning import Workload


def workload(
    model: str | Path,
    *,
    batch: int,
    length: int,
    dtype: DTypeLike = jnp.float32,
    layers: int | None = None,
) -> Workload:
    """Describe a model by the shapes of its parameters and batch, and its loss over all tokens.

    Args:
      model: One of ``MODELS``, or transformers' ``config.json`` of an OPT, RoBERTa, LLaMA or
        Mistral, or a folder with one. No weights are read.
      batch, length: Shape of the batch, in sequences and tokens.
      dtype: Dtype of the parameters and of the computation.
      layers: The number of transformer blocks, ≥ 1; None means the model's own number.

    Returns:
      A workload for :func:`zojax.planning.plan` and ``compile_step``. Its batch is the tokens,
      int32 [batch, length]; ``at_depth`` makes the same model with other ``layers``.

    Raises:
      ImportError: transformers is not installed.
      ValueError: The model or its family is unknown, ``length`` exceeds the model's longest
        sequence, a size is not positive, or ``dtype`` is not a floating-point dtype.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError('workload: transformers is missing: pip install "zojax[hf]".') from error
    for name, value in {"batch": batch, "length": length, "layers": layers}.items():
        if value is not None and value < 1:
            raise ValueError(f"workload: {name} must be >= 1, got {value}.")
    if not jnp.issubdtype(jnp.dtype(dtype), jnp.floating):
        raise ValueError(f"workload: dtype must be a floating-point dtype, got {dtype}.")
    config = model_config(transformers, model, length)
    if config.model_type not in _FAMILIES:
        raise ValueError(
            f"workload: model must be of the family {' or '.join(_FAMILIES)}, got "
            f"{config.model_type}."
        )
    family = _FAMILIES[config.model_type]
    longest = config.max_position_embeddings - family.reserved_positions
    if length > longest:
        raise ValueError(f"workload: length must be <= {longest} for {model}, got {length}.")
    config.num_hidden_layers = layers or config.num_hidden_layers
    model_class = getattr(importlib.import_module(family.module), family.model_class)
    with _lenient(), quiet(transformers):
        network = model_class(config, dtype=jnp.dtype(dtype), _do_init=False)
        shapes = jax.eval_shape(lambda: network.init_weights(jax.random.key(0), (1, 8)))
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes)
    tokens = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    return Workload(
        params,
        tokens,
        family.loss(network),
        name=str(model),
        layers=config.num_hidden_layers,
        at_depth=lambda layers: workload(
            model, batch=batch, length=length, dtype=dtype, layers=layers
        ),
    )


def _next_token_loss(network: Any) -> Callable[[Any, Array], Array]:
    def loss(params: Any, tokens: Array) -> Array:
        with _lenient():
            logits = network(tokens, params=params).logits[:, :-1]
            return _cross_entropy(logits, tokens[:, 1:])

    return loss


def _masked_token_loss(network: Any) -> Callable[[Any, Array], Array]:
    def loss(params: Any, tokens: Array) -> Array:
        with _lenient():
            return _cross_entropy(network(tokens, params=params).logits, tokens)

    return loss


class _Family(NamedTuple):
    module: str
    model_class: str
    loss: Callable[[Any], Callable[[Any, Array], Array]]
    reserved_positions: int = 0  # rows of the position embedding that no token uses


_PACKAGE = "transformers.models"
_FAMILIES = {
    "opt": _Family(f"{_PACKAGE}.opt.modeling_flax_opt", "FlaxOPTForCausalLM", _next_token_loss),
    "roberta": _Family(
        f"{_PACKAGE}.roberta.modeling_flax_roberta",
        "FlaxRobertaForMaskedLM",
        _masked_token_loss,
        reserved_positions=2,
    ),
    "llama": _Family(
        f"{_PACKAGE}.llama.modeling_flax_llama", "FlaxLlamaForCausalLM", _next_token_loss
    ),
    "mistral": _Family(
        f"{_PACKAGE}.mistral.modeling_flax_mistral", "FlaxMistralForCausalLM", _next_token_loss
    ),
}


@contextlib.contextmanager
def _lenient() -> Generator[None]:
    # transformers' models need promotion of dtypes and ranks, which JAX's strict settings refuse.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _cross_entropy(logits: Array, tokens: Array) -> Array:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), tokens)
    return losses.mean()

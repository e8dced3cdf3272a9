"""Language models of published shapes without weights, to compile and never to run.

A few layers of them for tests, all of them for benchmarks. Memory and compile time are read from
the compiled programs.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from zojax import planning
from zojax.lm import adapters, models
from zojax.lm.models._config import ModelConfig
from zojax.lm.models._families import family
from zojax.lm.models._known import model_config
from zojax.lm.models._network import Network
from zojax.lm.models._transformer import Transformer


def workload(
    name: str,
    *,
    batch: int,
    length: int,
    dtype: Any,
    param_dtype: Any = None,
    layers: int = 2,
    lora: bool = False,
    implementation: str = "zojax",
    last: bool = False,
    **options: Any,
) -> planning.Workload:
    """A model and its loss, for the planner.

    Args:
      name: One of ``zojax.lm.models.MODELS``, or a ``config.json``.
      batch, length: Of the tokens.
      dtype: Of the computation.
      param_dtype: Of the weights, with adapters of the frozen base; ``dtype`` if None.
      layers: How many.
      lora: Whether to add LoRA, for ``zojax.select(..., "adapter/*")``.
      implementation: Whose: ``"zojax"``, or ``"transformers"`` for its Flax class of OPT.
      last: Whether the loss is that of the last token alone.
      **options: Of zojax's :class:`Transformer`: ``scan_layers``.
    """
    config = ModelConfig({**model_config(name).values, "num_hidden_layers": layers}, name)
    if implementation == "transformers":
        network, shapes = _flax_opt(config, dtype)
    else:
        settings = family(config.model_type, name).config(config)
        network = Network(
            Transformer(settings, dtype, param_dtype or dtype, **options), config.model_type
        )
        shapes = network.shapes()
    model = _without_weights(network, shapes)
    if lora:
        adapter = adapters.LoRA()
        own = jax.eval_shape(lambda key: adapter.initial(model, key), jax.random.key(0))
        model = adapter.wrap(model, own)

    def loss(params: Any, tokens: Array) -> Array:
        hidden, _ = model.hidden(params, tokens, jnp.ones_like(tokens))
        if last:
            logits, targets = model.logits(params, hidden[:, -2]), tokens[:, -1]
        else:
            logits, targets = model.logits(params, hidden)[:, :-1], tokens[:, 1:]
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    tokens = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    return planning.Workload(model.params, tokens, loss, name=name, layers=layers)


def _without_weights(network: Any, shapes: Any) -> models.LanguageModel:
    """A causal model of which only the functions and the shapes are there."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("config", "tokenizer", "init_cache", "prefix", "write", "max_length", "module_names")
    )
    return models.LanguageModel(
        params=shapes,
        kind="causal",
        hidden=network.hidden,
        logits=network.logits,
        sown=network.sown,
        source="shapes alone",
        **nothing,
    )


def _flax_opt(config: ModelConfig, dtype: Any) -> tuple[Any, Any]:
    """The functions and the shapes of transformers' Flax class."""
    from transformers import OPTConfig

    from zojax.lm.models import _flax_opt
    from zojax.lm.models._flax_network import FlaxNetwork
    from zojax.lm.models._promotion import lenient

    theirs: Any = OPTConfig(**config.values)
    with lenient():
        model = _flax_opt.FAMILY.flax_class()(theirs, dtype=dtype, _do_init=False)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), model.params_shape_tree
    )
    return FlaxNetwork(_flax_opt.FAMILY, theirs, dtype), shapes

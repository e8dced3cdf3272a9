"""OPT, a causal language model with learned position embeddings."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from zojax.lm.models._flax_family import FlaxFamily, activations


def _flax_class() -> Any:
    from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM

    return FlaxOPTForCausalLM


def _assumes(_config: Any) -> dict[str, tuple[Any, ...]]:
    return {
        "activation_function": activations(),
        "enable_bias": (True,),
        "layer_norm_elementwise_affine": (True,),
    }


def _states(
    module: Any,
    input_ids: Array,
    attention_mask: Array,
    position_ids: Array,
    init_cache: bool = False,
) -> Array:
    outputs = module.model(input_ids, attention_mask, position_ids, init_cache=init_cache)
    return outputs.last_hidden_state


def _position_ids(_config: Any, attention_mask: Array) -> Array:
    # OPT counts tokens, not columns. Padding gets -1, which is row 1 after the embedding's offset
    # of 2.
    return jnp.cumsum(attention_mask, axis=1) * attention_mask - 1


FAMILY = FlaxFamily(
    kind="causal",
    flax_class=_flax_class,
    assumes=_assumes,
    states=_states,
    position_ids=_position_ids,
    max_length=lambda config: config.max_position_embeddings,
    embedding=("model", "decoder", "embed_tokens", "embedding"),
    head=("lm_head", "kernel"),
)

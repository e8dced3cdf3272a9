"""OPT: how transformers' Flax module is called. One such file per family of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from zojax.models._language_model import Params

if TYPE_CHECKING:
    from flax import linen as nn
    from transformers import OPTConfig


def flax_class() -> Any:
    """Return the transformers class that loads and saves the weights."""
    from transformers.models.opt.modeling_flax_opt import FlaxOPTForCausalLM

    return FlaxOPTForCausalLM


def apply(module: nn.Module, params: Params, input_ids: Array, attention_mask: Array) -> Array:
    """Return the logits [B, T, V] of int32 [B, T] ``input_ids``."""
    outputs = module.apply(
        {"params": params},
        input_ids,
        # As bools, like the causal mask: integers would need an implicit promotion.
        attention_mask > 0,
        _position_ids(attention_mask),
        deterministic=True,
    )
    return outputs.logits  # pyright: ignore[reportAttributeAccessIssue]


def logits_at(
    module: nn.Module,
    config: OPTConfig,
    params: Params,
    input_ids: Array,
    attention_mask: Array,
    positions: Array,
    token_ids: Array | None = None,
) -> Array:
    """Return float32 [B, P, C] logits of ``token_ids`` [C] at int32 ``positions`` [B, P]."""
    hidden: Any = module.apply(
        {"params": params},
        input_ids,
        attention_mask > 0,
        _position_ids(attention_mask),
        method=_last_hidden_state,
    )
    hidden = jnp.take_along_axis(hidden, positions[:, :, None], axis=1)
    if config.tie_word_embeddings:
        head, token_axis = params["model"]["decoder"]["embed_tokens"]["embedding"], 0
    else:
        head, token_axis = params["lm_head"]["kernel"], 1
    if token_ids is not None:
        head = jnp.take(head, token_ids, axis=token_axis)
    # The losses of a zeroth-order step differ in their last digits: keep the accumulator's.
    return jax.lax.dot_general(
        hidden,
        head,
        (((2,), (1 - token_axis,)), ((), ())),
        preferred_element_type=jnp.float32,
    )


def _last_hidden_state(
    module: Any, input_ids: Array, attention_mask: Array, position_ids: Array
) -> Array:
    outputs = module.model(input_ids, attention_mask, position_ids, deterministic=True)
    return outputs.last_hidden_state


def _position_ids(attention_mask: Array) -> Array:
    # OPT counts tokens, not columns; padding gets -1, which its embedding's offset of 2 makes 1.
    return jnp.cumsum(attention_mask, axis=1) * attention_mask - 1

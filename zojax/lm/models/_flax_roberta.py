"""RoBERTa, as a masked language model."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.models._flax_family import FlaxFamily, activations


def _flax_class() -> Any:
    from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaForMaskedLM

    return FlaxRobertaForMaskedLM


def _assumes(_config: Any) -> dict[str, tuple[Any, ...]]:
    return {
        "hidden_act": activations(),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }


def _states(module: Any, input_ids: Array, attention_mask: Array, position_ids: Array) -> Array:
    segments = jnp.zeros_like(input_ids)
    return module.roberta(input_ids, attention_mask, segments, position_ids).last_hidden_state


def _position_ids(config: Any, attention_mask: Array) -> Array:
    # The first token has position padding_idx + 1; padding has padding_idx.
    return jnp.cumsum(attention_mask, axis=1) * attention_mask + config.pad_token_id


def _transform(module: Any, hidden: Array) -> Array:
    head = module.lm_head
    return head.layer_norm(jax.nn.gelu(head.dense(hidden), approximate=False))


FAMILY = FlaxFamily(
    kind="masked",
    flax_class=_flax_class,
    assumes=_assumes,
    states=_states,
    position_ids=_position_ids,
    max_length=lambda config: config.max_position_embeddings - config.pad_token_id - 1,
    embedding=("roberta", "embeddings", "word_embeddings", "embedding"),
    head=("lm_head", "decoder", "kernel"),
    transform=_transform,
    bias=("lm_head", "bias"),
)

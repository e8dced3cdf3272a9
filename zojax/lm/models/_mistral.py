"""Mistral, for sequences that are no longer than its sliding window."""

from __future__ import annotations

from typing import Any

from jax import Array

from zojax.lm.models import _rotary
from zojax.lm.models._family import Family


def _flax_class() -> Any:
    from transformers.models.mistral.modeling_flax_mistral import FlaxMistralForCausalLM

    return FlaxMistralForCausalLM


def _states(module: Any, *inputs: Any) -> Array:
    from transformers.models.mistral.modeling_flax_mistral import FlaxMistralRotaryEmbedding

    return _rotary.states(FlaxMistralRotaryEmbedding, module, *inputs)


def _max_length(config: Any) -> int:
    # In sequences up to this length every token attends to all tokens before it, as without a
    # window.
    longest = config.max_position_embeddings
    return min(longest, config.sliding_window or longest)


FAMILY = Family(
    kind="causal",
    flax_class=_flax_class,
    assumes=_rotary.assumes,
    states=_states,
    position_ids=_rotary.position_ids,
    max_length=_max_length,
    embedding=("model", "embed_tokens", "embedding"),
    head=("lm_head", "kernel"),
    module_config=_rotary.module_config,
)

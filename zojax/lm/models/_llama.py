"""LLaMA, and models whose configuration says that they are a LLaMA, such as Vicuna."""

from __future__ import annotations

from typing import Any

from jax import Array

from zojax.lm.models import _rotary
from zojax.lm.models._family import Family


def _flax_class() -> Any:
    from transformers.models.llama.modeling_flax_llama import FlaxLlamaForCausalLM

    return FlaxLlamaForCausalLM


def _assumes(config: Any) -> dict[str, tuple[Any, ...]]:
    return {**_rotary.assumes(config), "mlp_bias": (False,)}


def _states(module: Any, *inputs: Any) -> Array:
    from transformers.models.llama.modeling_flax_llama import FlaxLlamaRotaryEmbedding

    return _rotary.states(FlaxLlamaRotaryEmbedding, module, *inputs)


FAMILY = Family(
    kind="causal",
    flax_class=_flax_class,
    assumes=_assumes,
    states=_states,
    position_ids=_rotary.position_ids,
    max_length=lambda config: config.max_position_embeddings,
    embedding=("model", "embed_tokens", "embedding"),
    head=("lm_head", "kernel"),
    module_config=_rotary.module_config,
)

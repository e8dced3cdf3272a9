"""What LLaMA and Mistral share: a decoder with rotary position embeddings of any base.

transformers' Flax classes of both families rotate keys and queries with base 10000, whatever
``rope_theta`` says. Their tables are as long as the longest sequence, and each layer has a causal
mask of its square.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.models._family import activations


def assumes(config: Any) -> dict[str, tuple[Any, ...]]:
    """The values of settings that the Flax classes, with the corrections made here, support."""
    scaling = config.rope_scaling if hasattr(config, "rope_scaling") else None
    kind = "default" if scaling is None else scaling.get("rope_type", scaling.get("type"))
    return {
        "hidden_act": activations(),
        "rope_scaling": (None, scaling) if kind == "default" else (None,),
        "partial_rotary_factor": (1.0,),
        "head_dim": (None, config.hidden_size // config.num_attention_heads),
    }


def position_ids(_config: Any, attention_mask: Array) -> Array:
    """Number a row's tokens from 0; padding gets the position of the last token before it."""
    return jnp.cumsum(attention_mask, axis=1) - 1


def module_config(config: Any, columns: int) -> Any:
    """Return a configuration whose masks, windows and tables have only ``columns`` columns."""
    config = copy.copy(config)
    # With fewer positions, the classes would truncate their own table of sines and cosines, whose
    # width is the size of two heads.
    width = 2 * config.hidden_size // config.num_attention_heads
    config.max_position_embeddings = max(columns, width)
    # In FlaxMistral a window of w covers w + 1 columns, and a window of None only one.
    config.sliding_window = config.max_position_embeddings
    return config


def states(
    rotary_class: type,
    module: Any,
    input_ids: Array,
    attention_mask: Array,
    position_ids: Array,
    init_cache: bool = False,
) -> Array:
    """Return the last hidden states, computed with the corrected rotary embedding."""
    from flax import linen as nn

    def corrected(
        next_fun: Callable[..., Any], args: tuple[Any, ...], kwargs: Any, context: Any
    ) -> Any:
        if not isinstance(context.module, rotary_class):
            return next_fun(*args, **kwargs)
        if context.method_name == "setup":
            return None  # the module's table is not needed
        key, query, positions = args
        base, dtype = context.module.config.rope_theta, context.module.dtype
        return _rotate(key, positions, base, dtype), _rotate(query, positions, base, dtype)

    with nn.intercept_methods(corrected):
        outputs = module.model(input_ids, attention_mask, position_ids, init_cache=init_cache)
    return outputs.last_hidden_state


def _rotate(x: Array, position_ids: Array, base: float, dtype: Any) -> Array:
    """Rotate [B, T, heads, D] by each token's position; features i and i + D / 2 are a pair."""
    size = x.shape[-1]
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    frequencies = np.float32(1.0) / np.float32(base) ** exponents
    angles = position_ids[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None]
    sin, cos = jnp.sin(angles), jnp.cos(angles)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(rotated, axis=-1).astype(dtype)

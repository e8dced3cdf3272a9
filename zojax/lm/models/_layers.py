"""The layers of a transformer: attention, feed-forward, norms."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jax.typing import DTypeLike

from zojax.lm.models._architecture import ACTIVATIONS, TransformerConfig
from zojax.lm.models._language_model import Cache
from zojax.lm.models._rotary import rotate

# The collection of an adapter's variables, which modules read beside their parameters.
ADAPTER = "adapter"


class View(NamedTuple):
    """What tokens see of each other, and their positions; full and sliding layers differ."""

    visible: Array  # bool [B, T, S]: which of the S columns each of the T tokens attends to
    table: tuple[Array, Array] | None  # sines and cosines of the tokens' positions


class Step(NamedTuple):
    """What all layers of a forward pass share."""

    full: View
    sliding: View
    written: Array | None  # int32 []: written columns of the cache; None without a cache


class Norm(nn.Module):
    """Layer or RMS normalization of the last axis, in float32."""

    config: TransformerConfig
    dtype: DTypeLike
    param_dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalize [..., H]."""
        config, size = self.config, x.shape[-1]
        start = nn.initializers.zeros if config.norm == "rms+1" else nn.initializers.ones
        scale = self.param("scale", start, (size,), self.param_dtype).astype(jnp.float32)
        y = x.astype(jnp.float32)
        if config.norm == "layer":
            y = y - jnp.mean(y, axis=-1, keepdims=True)
        y = y * lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + config.norm_eps)
        y = y * (scale + 1 if config.norm == "rms+1" else scale)
        if config.norm == "layer":
            bias = self.param("bias", nn.initializers.zeros, (size,), self.param_dtype)
            y = y + bias.astype(jnp.float32)
        return y.astype(self.dtype)


class Attention(nn.Module):
    """Attention of grouped heads, with a cache, and with an adapter's prefix if it has one."""

    config: TransformerConfig
    dtype: DTypeLike
    param_dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Array, view: View, written: Array | None, layer: Array, cache: Cache | None
    ) -> tuple[Array, Cache | None]:
        """Attend: [B, T, H] to [B, T, H], and the cache with this layer's columns written."""
        config = self.config
        dtypes: dict[str, Any] = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        def project(name: str, heads: int) -> Array:
            features = heads * config.head_dim
            y = nn.Dense(features, use_bias=config.qkv_bias, name=name, **dtypes)(x)
            return y.reshape(*y.shape[:-1], heads, config.head_dim)

        query, key = project("q_proj", config.num_heads), project("k_proj", config.num_kv_heads)
        value = project("v_proj", config.num_kv_heads)
        if config.qk_norm:
            query = Norm(config, name="q_norm", **dtypes)(query)
            key = Norm(config, name="k_norm", **dtypes)(key)
        if view.table is not None:
            query, key = rotate(query, view.table), rotate(key, view.table)
        if cache is not None:
            cache = _write(cache, key, value, layer, written)
            key, value = cache["cached_key"][layer], cache["cached_value"][layer]
        visible = view.visible
        if self.has_variable(ADAPTER, "prefix_key"):
            key, value = (
                _prepend(self.get_variable(ADAPTER, name), text)
                for name, text in (("prefix_key", key), ("prefix_value", value))
            )
            columns = key.shape[1] - visible.shape[-1]
            visible = jnp.pad(visible, ((0, 0), (0, 0), (columns, 0)), constant_values=True)
        y = _attend(query, key, value, visible, config)
        y = nn.Dense(config.hidden_size, use_bias=config.output_bias, name="o_proj", **dtypes)(y)
        return y, cache


def _write(cache: Cache, key: Array, value: Array, layer: Array, written: Any) -> Cache:
    zero = jnp.int32(0)
    start = (layer, zero, written, zero, zero)
    return {
        name: lax.dynamic_update_slice(cache[name], new.astype(cache[name].dtype)[None], start)
        for name, new in (("cached_key", key), ("cached_value", value))
    }


def _prepend(prefix: Array, text: Array) -> Array:
    """Put the n columns [n, heads, D] before each row's [B, T, heads, D]."""
    rows = jnp.broadcast_to(prefix.astype(text.dtype)[None], (text.shape[0], *prefix.shape))
    return jnp.concatenate([rows, text], axis=1)


def _attend(
    query: Array, key: Array, value: Array, visible: Array, config: TransformerConfig
) -> Array:
    batch, tokens, heads, size = query.shape
    groups = key.shape[2]
    query = query.reshape(batch, tokens, groups, heads // groups, size)
    scores = jnp.einsum("btgqd,bsgd->bgqts", query, key, preferred_element_type=jnp.float32)
    scores = scores * config.attention_scale
    if config.attention_softcap is not None:
        scores = config.attention_softcap * jnp.tanh(scores / config.attention_softcap)
    scores = jnp.where(visible[:, None, None], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("bgqts,bsgd->btgqd", weights, value).reshape(batch, tokens, heads * size)


class Mlp(nn.Module):
    """The feed-forward layer."""

    config: TransformerConfig
    dtype: DTypeLike
    param_dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Apply it to [B, T, H]."""
        config = self.config
        options: dict[str, Any] = dict(
            use_bias=config.mlp_bias, dtype=self.dtype, param_dtype=self.param_dtype
        )
        act = ACTIVATIONS[config.activation]
        up = nn.Dense(config.mlp_size, name="up_proj", **options)(x)
        if config.gated:
            y = act(nn.Dense(config.mlp_size, name="gate_proj", **options)(x)) * up
        else:
            y = act(up)
        return nn.Dense(config.hidden_size, name="down_proj", **options)(y)


class Block(nn.Module):
    """One layer: attention and feed-forward, each with its residual and norms."""

    config: TransformerConfig
    dtype: DTypeLike
    param_dtype: DTypeLike

    @nn.compact
    def __call__(
        self, carry: tuple[Array, Cache | None], step: Step, layer: Array, slides: Array
    ) -> tuple[tuple[Array, Cache | None], None]:
        """Apply the layer to the hidden states [B, T, H] and the cache of all layers."""
        (x, cache), config = carry, self.config
        dtypes: dict[str, Any] = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        attention, mlp = (
            Attention(config, name="self_attn", **dtypes),
            Mlp(config, name="mlp", **dtypes),
        )

        def before(x: Array, part: str) -> Array:
            post = config.norm_order == "post"
            return x if post else Norm(config, name=f"{part}_norm", **dtypes)(x)

        def after(x: Array, y: Array, part: str) -> Array:
            if config.norm_order == "sandwich":
                y = Norm(config, name=f"{part}_out_norm", **dtypes)(y)
            x = x + y
            post = config.norm_order == "post"
            return Norm(config, name=f"{part}_norm", **dtypes)(x) if post else x

        view = _choose(config, step, slides)
        y, cache = attention(before(x, "attn"), view, step.written, layer, cache)
        x = after(x, y, "attn")
        x = after(x, mlp(before(x, "mlp")), "mlp")
        return (x, cache), None


def _choose(config: TransformerConfig, step: Step, slides: Array) -> View:
    """The view of a layer: of one kind for all layers, or chosen by the layer's flag."""
    if len(set(config.sliding)) < 2:
        return step.sliding if any(config.sliding) else step.full
    return jax.tree.map(lambda full, near: jnp.where(slides, near, full), step.full, step.sliding)

"""One transformer for every family, with its layers scanned.

A scanned stack of layers compiles as fast as one layer. Its parameters are stacked: those of the
layers have a leading axis, ``layers/self_attn/q_proj/kernel`` is [L, H, D].
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jax.typing import DTypeLike

from zojax.lm.models._architecture import TransformerConfig
from zojax.lm.models._language_model import Cache
from zojax.lm.models._layers import ADAPTER, Block, Norm, Step, View
from zojax.lm.models._rotary import Rotary

# What interceptors of modules collect with ``module.sow``.
SOWN = "sown"


class Head(nn.Module):
    """The language-modelling head."""

    config: TransformerConfig
    dtype: DTypeLike
    param_dtype: DTypeLike

    @nn.compact
    def __call__(self, hidden: Array, embedding: Array, token_ids: Array | None) -> Array:
        """Compute float32 [..., C] logits of the tokens, all V if None, from [..., H]."""
        config = self.config
        if config.masked_head:
            dtypes: dict[str, Any] = dict(dtype=self.dtype, param_dtype=self.param_dtype)
            hidden = nn.Dense(config.hidden_size, name="dense", **dtypes)(hidden)
            hidden = Norm(config, name="layer_norm", **dtypes)(nn.gelu(hidden, approximate=False))
        kernel, token_axis = embedding, 0
        if not config.tied:
            shape, start = (config.embed_size, config.vocab_size), nn.initializers.lecun_normal()
            kernel, token_axis = self.param("kernel", start, shape, self.param_dtype), 1
        if token_ids is not None:
            kernel = jnp.take(kernel, token_ids, axis=token_axis)
        # Losses of a zeroth-order step differ in their last digits, so the logits keep the
        # precision of the accumulator.
        logits = lax.dot_general(
            hidden,
            kernel.astype(self.dtype),
            (((hidden.ndim - 1,), (1 - token_axis,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        if config.masked_head:
            start = nn.initializers.zeros
            bias = self.param("bias", start, (config.vocab_size,), self.param_dtype)
            bias = bias if token_ids is None else jnp.take(bias, token_ids, axis=0)
            logits = logits + jnp.broadcast_to(bias.astype(jnp.float32), logits.shape)
        if config.logit_softcap is not None:
            logits = config.logit_softcap * jnp.tanh(logits / config.logit_softcap)
        return logits


class Transformer(nn.Module):
    """A language model of any family: hidden states by calling it, logits by :meth:`logits`.

    Attributes:
      config: The family's settings.
      dtype: Dtype of the computation.
      param_dtype: Dtype of the parameters.
      scan_layers: Whether the layers are scanned, with stacked parameters in ``layers``; otherwise
        they are unrolled, with the parameters of each in ``layers_0``, ``layers_1`` ….
      remat: Whether back-propagation computes each layer's activations again, instead of keeping
        them.
    """

    config: TransformerConfig
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32
    scan_layers: bool = True
    remat: bool = False

    def setup(self) -> None:
        """Make the modules."""
        config = self.config
        dtypes: dict[str, Any] = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        self.embed_tokens = nn.Embed(config.vocab_size, config.embed_size, **dtypes)
        if config.embed_size != config.hidden_size:
            self.project_in = nn.Dense(config.hidden_size, use_bias=False, **dtypes)
            self.project_out = nn.Dense(config.embed_size, use_bias=False, **dtypes)
        if config.position_rows:
            self.embed_positions = nn.Embed(config.position_rows, config.hidden_size, **dtypes)
        if config.token_types:
            self.embed_types = nn.Embed(config.token_types, config.hidden_size, **dtypes)
        if config.embed_norm:
            self.embed_norm = Norm(config, **dtypes)
        block: Any = nn.remat(Block, prevent_cse=not self.scan_layers) if self.remat else Block
        if self.scan_layers:
            stack = nn.scan(
                block,
                variable_axes={"params": 0, ADAPTER: 0, SOWN: 0},
                split_rngs={"params": True},
                in_axes=(nn.broadcast, 0, 0),  # pyright: ignore[reportArgumentType]
                length=config.num_layers,
            )
            self.layers = stack(config, **dtypes)
        else:
            self.layers = [block(config, **dtypes) for _ in range(config.num_layers)]
        if config.final_norm:
            self.norm = Norm(config, **dtypes)
        self.lm_head = Head(config, **dtypes)

    def __call__(
        self,
        input_ids: Array,
        attention_mask: Array,
        cache: Cache | None = None,
        first_position: int = 0,
    ) -> tuple[Array, Cache | None]:
        """Run all layers but the head.

        Args:
          input_ids: int32 [B, T].
          attention_mask: int32 [B, S]: 1 for a token, 0 for padding. S = T without a cache,
            otherwise the number of the cache's columns.
          cache: ``cached_key`` and ``cached_value`` [L, B, S, heads, D], and ``cache_index``, int32
            []: how many columns are written.
          first_position: The position of a row's first token, after those of an adapter's prefix.

        Returns:
          The hidden states [B, T, E], and the cache with T more columns written, or None.
        """
        config = self.config
        mask = attention_mask.astype(jnp.int32)
        written = jnp.int32(0) if cache is None else cache["cache_index"]
        numbers = jnp.cumsum(mask, axis=1)
        own = lax.dynamic_slice_in_dim(numbers, written, input_ids.shape[1], axis=1)
        x = self.embed_tokens(input_ids)
        if config.embed_scale != 1.0:
            x = x * jnp.asarray(config.embed_scale, x.dtype)
        if config.embed_size != config.hidden_size:
            x = self.project_in(x)
        if config.token_types:
            x = x + self.embed_types(jnp.zeros_like(input_ids))
        if config.position_rows:
            present = lax.dynamic_slice_in_dim(mask, written, input_ids.shape[1], axis=1)
            rows = (own + first_position) * present + config.position_offset
            x = x + self.embed_positions(rows)
        if config.embed_norm:
            x = self.embed_norm(x)
        step = _step(config, mask, numbers, own, written, first_position)
        if cache is None:
            carry, step = (x, None), step._replace(written=None)
        else:
            carry = x, {name: cache[name] for name in ("cached_key", "cached_value")}
        layers = jnp.arange(config.num_layers, dtype=jnp.int32)
        slides = jnp.asarray(config.sliding or (False,) * config.num_layers)
        if self.scan_layers:
            scanned: Any = self.layers
            carry, _ = scanned(carry, step, layers, slides)
        else:
            blocks: Any = self.layers
            for i, block in enumerate(blocks):
                carry, _ = block(carry, step, layers[i], slides[i])
        x, columns = carry
        if config.final_norm:
            x = self.norm(x)
        if config.embed_size != config.hidden_size:
            x = self.project_out(x)
        if columns is not None:
            columns = {**columns, "cache_index": written + input_ids.shape[1]}
        return x, columns

    def logits(self, hidden: Array, token_ids: Array | None = None) -> Array:
        """Run the head: [..., E] to float32 [..., C]."""
        return self.lm_head(hidden, self.embed_tokens.embedding, token_ids)

    def everything(self, input_ids: Array, attention_mask: Array) -> Array:
        """The logits at every position, float32 [B, T, V]; its ``init`` makes all parameters."""
        return self.logits(self(input_ids, attention_mask)[0])


def _step(
    config: TransformerConfig,
    mask: Array,
    numbers: Array,
    own: Array,
    written: Array,
    first_position: int,
) -> Step:
    """Masks and rotary tables of the tokens whose numbers in their rows are ``own`` [B, T]."""
    seen = (mask > 0)[:, None]
    if config.causal:
        tokens = written + jnp.arange(own.shape[1])
        seen = seen & (jnp.arange(mask.shape[1])[None, None] <= tokens[None, :, None])
    else:
        seen = jnp.broadcast_to(seen, (*own.shape, mask.shape[1]))
    near = seen
    if config.window:
        near = seen & (own[:, :, None] - numbers[:, None, :] < config.window)
    positions = own - 1 + first_position

    def table(rotary: Rotary | None) -> tuple[Array, Array] | None:
        return None if rotary is None else rotary.table(positions)

    local = config.local_rotary or config.rotary
    return Step(View(seen, table(config.rotary)), View(near, table(local)), written)

"""What differs between the transformers of the families: the settings of :class:`Transformer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax

from zojax.lm.models._rotary import Rotary

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_new": jax.nn.gelu,
    "gelu_fast": jax.nn.gelu,
    "gelu_pytorch_tanh": jax.nn.gelu,
}
"""transformers' names of the activation functions."""


@dataclass(frozen=True)
class TransformerConfig:
    """What differs between families.

    Attributes:
      vocab_size, hidden_size, num_layers, num_heads, mlp_size: Sizes.
      num_kv_heads: Heads of keys and values, each shared by ``num_heads / num_kv_heads`` queries.
      head_dim: Features of a head.
      max_length: Most columns of a row or a cache.
      activation: A name of ``ACTIVATIONS``.
      norm: ``"layer"``, ``"rms"``, or ``"rms+1"`` (the scale is 1 plus the parameter).
      norm_eps: Added to the variance.
      norm_order: Where the norms of a sublayer are: before it (``"pre"``), after its residual
        (``"post"``), or before and after it (``"sandwich"``).
      final_norm, embed_norm: Whether there is a norm after the layers, or of the embeddings.
      causal: Whether a token attends to those before it, or to all.
      tied: Whether the head's kernel is the token embedding.
      masked_head: Whether the head is RoBERTa's: dense, norm, kernel, bias.
      gated: Whether the feed-forward layer multiplies by an activated gate.
      qk_norm: Whether queries and keys of each head are normalized.
      qkv_bias, output_bias, mlp_bias: Whether these projections have biases.
      embed_size: Features of the token embedding; projected if it is not ``hidden_size``.
      embed_scale: Multiplies the token embedding.
      position_rows, position_offset: Rows of learned position embeddings, 0 for none, and the row
        of padding: a row's n-th token has row ``position_offset + n``, n ≥ 1.
      token_types: Rows of the token type embedding, of which the first is used; 0 for none.
      rotary, local_rotary: Rotary position embeddings of full and of sliding layers.
      sliding, window: Which layers slide: a token attends to the last ``window`` tokens.
      attention_scale: Multiplies the scores.
      attention_softcap, logit_softcap: c of c·tanh(x / c), None for no cap.
    """

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    mlp_size: int
    max_length: int
    activation: str
    norm: Literal["layer", "rms", "rms+1"]
    norm_eps: float
    attention_scale: float
    embed_size: int
    tied: bool
    norm_order: Literal["pre", "post", "sandwich"] = "pre"
    final_norm: bool = True
    embed_norm: bool = False
    causal: bool = True
    masked_head: bool = False
    gated: bool = False
    qk_norm: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    embed_scale: float = 1.0
    position_rows: int = 0
    position_offset: int = 0
    token_types: int = 0
    rotary: Rotary | None = None
    local_rotary: Rotary | None = None
    sliding: tuple[bool, ...] = ()
    window: int = 0
    attention_softcap: float | None = None
    logit_softcap: float | None = None

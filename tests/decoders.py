"""Small decoders of today's shapes, in plain JAX, to compile and never to run at full size.

Two layers or so, stacked for ``lax.scan`` or unrolled, with the hidden sizes, heads and
vocabularies of published models. Memory and compile time are read from the compiled programs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from zojax import planning


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a decoder, from its published config.json."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int


SHAPES = {
    "qwen3-0.6b": Shape(1024, 16, 8, 128, 3072, 151_936),
    "gemma3-1b": Shape(1152, 4, 1, 256, 6912, 262_144),
    "llama3.2-1b": Shape(2048, 32, 8, 64, 8192, 128_256),
    "tiny": Shape(64, 4, 2, 16, 128, 256),
}

RANK = 8


def weights(
    shape: Shape, layers: int, dtype: Any, *, scanned: bool = True, tied: bool = True
) -> dict[str, Any]:
    """The parameters of a decoder, as shapes."""
    query, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    one = {
        "attention_norm": (shape.hidden,),
        "query": (shape.hidden, query),
        "key": (shape.hidden, kv),
        "value": (shape.hidden, kv),
        "out": (query, shape.hidden),
        "ffn_norm": (shape.hidden,),
        "gate": (shape.hidden, shape.ffn),
        "up": (shape.hidden, shape.ffn),
        "down": (shape.ffn, shape.hidden),
    }

    def leaves(*leading: int) -> dict[str, Any]:
        return {name: jax.ShapeDtypeStruct((*leading, *axes), dtype) for name, axes in one.items()}

    tree: dict[str, Any] = {
        "embed": jax.ShapeDtypeStruct((shape.vocab, shape.hidden), dtype),
        "layers": leaves(layers) if scanned else [leaves() for _ in range(layers)],
        "norm": jax.ShapeDtypeStruct((shape.hidden,), dtype),
    }
    if not tied:
        tree["head"] = jax.ShapeDtypeStruct((shape.hidden, shape.vocab), dtype)
    return tree


def adapters(shape: Shape, layers: int, *, scanned: bool = True) -> Any:
    """Float32 factors of LoRA on the queries and values, as shapes."""
    query, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim

    def leaves(*leading: int) -> dict[str, Any]:
        return {
            name: {
                "a": jax.ShapeDtypeStruct((*leading, shape.hidden, RANK), jnp.float32),
                "b": jax.ShapeDtypeStruct((*leading, RANK, out), jnp.float32),
            }
            for name, out in (("query", query), ("value", kv))
        }

    return leaves(layers) if scanned else [leaves() for _ in range(layers)]


def logits(params: Any, tokens: Any, shape: Shape, compute: Any, *, last: bool) -> Any:
    """Logits of the next token, [B, S, V] or [B, V] after the last token, in ``compute``.

    Args:
      params: As :func:`weights` makes them; ``{"base": ..., "lora": ...}`` with adapters.
      tokens: int32 [B, S].
      shape: The sizes.
      compute: dtype of the activations, to which weights are converted where they are used.
      last: After the last token alone.
    """
    base, lora = (params["base"], params["lora"]) if "lora" in params else (params, None)
    batch, length = tokens.shape
    group = shape.heads // shape.kv_heads

    def project(x: Any, layer: Any, adapter: Any, name: str) -> Any:
        y = x @ layer[name].astype(compute)
        if adapter is not None and name in adapter:
            factors = adapter[name]
            y = y + x @ factors["a"].astype(compute) @ factors["b"].astype(compute)
        return y

    def block(x: Any, parts: Any) -> Any:
        layer, adapter = parts
        h = _normed(x, layer["attention_norm"])
        q = project(h, layer, adapter, "query")
        q = _rotated(q.reshape(batch, length, shape.kv_heads, group, shape.head_dim))
        k = project(h, layer, adapter, "key").reshape(batch, length, shape.kv_heads, 1, -1)
        v = project(h, layer, adapter, "value").reshape(batch, length, shape.kv_heads, -1)
        scores = jnp.einsum("bqkgd,bskd->bkgqs", q, _rotated(k)[:, :, :, 0])
        scores = scores.astype(jnp.float32) / shape.head_dim**0.5
        causal = jnp.tril(jnp.ones((length, length), bool))
        shares = jax.nn.softmax(jnp.where(causal, scores, -1e9), axis=-1).astype(compute)
        mixed = jnp.einsum("bkgqs,bskd->bqkgd", shares, v).reshape(batch, length, -1)
        x = x + project(mixed, layer, adapter, "out")
        h = _normed(x, layer["ffn_norm"])
        gated = jax.nn.silu(project(h, layer, adapter, "gate")) * project(h, layer, adapter, "up")
        return x + project(gated, layer, adapter, "down")

    x = jnp.take(base["embed"], tokens, axis=0).astype(compute)
    if isinstance(base["layers"], list):
        for i, layer in enumerate(base["layers"]):
            x = block(x, (layer, None if lora is None else lora[i]))
    else:
        x, _ = lax.scan(lambda x, parts: (block(x, parts), None), x, (base["layers"], lora))
    x = _normed(x[:, -1] if last else x, base["norm"])
    head = base["head"] if "head" in base else base["embed"].T
    return x @ head.astype(compute)


def loss(params: Any, tokens: Any, shape: Shape, compute: Any, *, last: bool = False) -> Any:
    """Cross entropy of the tokens; of the last one alone if ``last``. Float32 []."""
    if last:
        found = logits(params, tokens[:, :-1], shape, compute, last=True)
        targets = tokens[:, -1]
    else:
        found = logits(params, tokens, shape, compute, last=False)[:, :-1]
        targets = tokens[:, 1:]
    found = found.astype(jnp.float32)
    picked = jnp.take_along_axis(found, targets[..., None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(found, axis=-1) - picked)


def workload(
    name: str,
    *,
    batch: int,
    length: int,
    dtype: Any,
    compute: Any = None,
    layers: int = 2,
    scanned: bool = True,
    tied: bool = True,
    last: bool = False,
    lora: bool = False,
) -> planning.Workload:
    """A decoder and its loss, for the planner.

    Args:
      name: One of :data:`SHAPES`.
      batch, length: Of the tokens.
      dtype: Of the weights; with adapters, of the frozen base.
      compute: Of the activations; that of the weights if None.
      layers: How many.
      scanned: Whether they are stacked for ``lax.scan``.
      tied: Whether the head is the embedding.
      last: Whether the loss is that of the last token.
      lora: Whether to add adapters, for ``zojax.select(..., "lora/*")``.
    """
    shape, compute = SHAPES[name], compute or dtype
    params: Any = weights(shape, layers, dtype, scanned=scanned, tied=tied)
    if lora:
        params = {"base": params, "lora": adapters(shape, layers, scanned=scanned)}
    tokens = jax.ShapeDtypeStruct((batch, length), jnp.int32)

    def of_batch(params: Any, tokens: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return loss(params, tokens, shape, compute, last=last)

    return planning.Workload(params, tokens, of_batch)


def _normed(x: Any, scale: Any) -> Any:
    wide = x.astype(jnp.float32)
    wide = wide * lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + 1e-6)
    return (wide * scale.astype(jnp.float32)).astype(x.dtype)


def _rotated(x: Any) -> Any:
    """Rotary positions of [B, S, ..., D], in float32."""
    half = x.shape[-1] // 2
    angles = jnp.arange(x.shape[1])[:, None] * 1e4 ** (-jnp.arange(half) / half)
    angles = angles.reshape(1, x.shape[1], *[1] * (x.ndim - 3), half).astype(jnp.float32)
    left, right = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    sin, cos = jnp.sin(angles), jnp.cos(angles)
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], -1).astype(x.dtype)

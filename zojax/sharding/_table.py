"""The dimensions along which tensor parallelism shards the models of :mod:`zojax.lm.models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Dimension: TypeAlias = int | None
Table: TypeAlias = Sequence[tuple[str, Dimension | tuple[Dimension, ...]]]
"""Pairs of a glob for a full path and the dimension to shard, or None to replicate the leaf.

Of several dimensions, the first one that the axis divides is sharded; None always fits.
"""

# Matrices are [in, out], or [layers, in, out] where layers are stacked, so dimensions are counted
# from the end. A matrix that is sharded by its outputs gives sharded activations, which the next
# matrix, sharded by its inputs, takes without communication. Its products are summed over the
# devices: one all-reduce for attention, and one for the feed-forward layer.
BY_OUTPUTS, BY_INPUTS = -1, -2

# The vocabulary: rows of the embedding, columns of an untied head. Where the axis does not divide
# its size, as that of RoBERTa, which is odd, the leaf is replicated.
BY_TOKENS, BY_TOKENS_OF_HEAD = (-2, None), (-1, None)

_AFTER = ("kernel", "bias")  # the leaves of a dense layer that is sharded by its outputs

TENSOR_PARALLEL: Table = (
    # An adapter has so few parameters that they are replicated.
    ("adapter/*", None),
    # The models of this package, and transformers' Flax OPT, LLaMA and Mistral. A bias is sharded
    # as the outputs that it is added to; that of a sum over devices is replicated.
    *((f"*self_attn/{name}_proj/{leaf}", BY_OUTPUTS) for name in "qkv" for leaf in _AFTER),
    ("*self_attn/out_proj/kernel", BY_INPUTS),
    ("*self_attn/o_proj/kernel", BY_INPUTS),
    *((f"*/fc1/{leaf}", BY_OUTPUTS) for leaf in _AFTER),
    ("*/fc2/kernel", BY_INPUTS),
    *((f"*mlp/{name}_proj/{leaf}", BY_OUTPUTS) for name in ("gate", "up") for leaf in _AFTER),
    ("*mlp/down_proj/kernel", BY_INPUTS),
    # transformers' Flax RoBERTa.
    *(
        (f"*attention/self/{name}/{leaf}", BY_OUTPUTS)
        for name in ("query", "key", "value")
        for leaf in _AFTER
    ),
    ("*attention/output/dense/kernel", BY_INPUTS),
    *((f"*intermediate/dense/{leaf}", BY_OUTPUTS) for leaf in _AFTER),
    ("*layer/*/output/dense/kernel", BY_INPUTS),
    ("*embed_tokens/embedding", BY_TOKENS),
    ("*lm_head/kernel", BY_TOKENS_OF_HEAD),
)
"""The default table of :func:`zojax.sharding.tensor_parallel`; unlisted leaves are replicated."""

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

TENSOR_PARALLEL: Table = (
    # An adapter has so few parameters that they are replicated.
    ("adapter/*", None),
    # The models of this package, and transformers' Flax OPT, LLaMA and Mistral.
    ("*self_attn/q_proj/kernel", BY_OUTPUTS),
    ("*self_attn/k_proj/kernel", BY_OUTPUTS),
    ("*self_attn/v_proj/kernel", BY_OUTPUTS),
    ("*self_attn/out_proj/kernel", BY_INPUTS),
    ("*self_attn/o_proj/kernel", BY_INPUTS),
    ("*/fc1/kernel", BY_OUTPUTS),
    ("*/fc2/kernel", BY_INPUTS),
    ("*mlp/gate_proj/kernel", BY_OUTPUTS),
    ("*mlp/up_proj/kernel", BY_OUTPUTS),
    ("*mlp/down_proj/kernel", BY_INPUTS),
    # transformers' Flax RoBERTa.
    ("*attention/self/query/kernel", BY_OUTPUTS),
    ("*attention/self/key/kernel", BY_OUTPUTS),
    ("*attention/self/value/kernel", BY_OUTPUTS),
    ("*attention/output/dense/kernel", BY_INPUTS),
    ("*intermediate/dense/kernel", BY_OUTPUTS),
    ("*layer/*/output/dense/kernel", BY_INPUTS),
    ("*embed_tokens/embedding", BY_TOKENS),
    ("*lm_head/kernel", BY_TOKENS_OF_HEAD),
)
"""The default table of :func:`zojax.sharding.tensor_parallel`; unlisted leaves are replicated."""

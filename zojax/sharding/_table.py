"""The dimensions along which tensor parallelism shards OPT, RoBERTa, LLaMA and Mistral."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Table: TypeAlias = Sequence[tuple[str, int | None]]
"""Pairs of a glob for a full path and the dimension to shard, or None to replicate the leaf."""

# Matrices are [in, out]. A matrix that is sharded by its outputs gives sharded activations, which
# the next matrix, sharded by its inputs, takes without communication. Its products are summed over
# the devices: one all-reduce for attention, and one for the feed-forward layer.
BY_OUTPUTS, BY_INPUTS = 1, 0

TENSOR_PARALLEL: Table = (
    # An adapter has so few parameters that they are replicated.
    ("adapter/*", None),
    # OPT, LLaMA, Mistral.
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
    # RoBERTa. The size of its vocabulary is odd, so its embedding is replicated.
    ("*attention/self/query/kernel", BY_OUTPUTS),
    ("*attention/self/key/kernel", BY_OUTPUTS),
    ("*attention/self/value/kernel", BY_OUTPUTS),
    ("*attention/output/dense/kernel", BY_INPUTS),
    ("*intermediate/dense/kernel", BY_OUTPUTS),
    ("*layer/*/output/dense/kernel", BY_INPUTS),
    # The vocabulary: rows of the embedding, columns of an untied head.
    ("*embed_tokens/embedding", 0),
    ("*lm_head/kernel", 1),
)
"""The default table of :func:`zojax.sharding.tensor_parallel`; unlisted leaves are replicated."""

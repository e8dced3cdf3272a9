"""Where tensor parallelism cuts the matrices of OPT, RoBERTa, LLaMA and Mistral."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Table: TypeAlias = Sequence[tuple[str, int | None]]
"""A glob for a whole path, and the dimension to cut, or None for a leaf that stays whole."""

# Matrices are [in, out]. Those cut by their outputs leave parts that stay apart until the next
# matrix, which is cut by its inputs, and whose products are summed over the devices: one sum for
# attention, one for the feed-forward.
BY_OUTPUTS, BY_INPUTS = 1, 0

TENSOR_PARALLEL: Table = (
    # An adapter's parameters are few.
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
    # RoBERTa. Its vocabulary is odd, so its embedding stays whole.
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
"""The table of :func:`zojax.sharding.tensor_parallel`. What no line names stays whole."""

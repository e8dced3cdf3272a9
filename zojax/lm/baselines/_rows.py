"""The rows for a linear probe, and the hidden states that it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.models import LanguageModel, Params
from zojax.lm.tasks import PromptSet, TokenRow, bucket_lengths
from zojax.lm.training import CompiledByShape


class ProbedRow(NamedTuple):
    """A row of the model's input, and the position whose state the probe reads."""

    ids: list[int]  # the input tokens
    position: int  # index into ids


class _Rows(NamedTuple):
    """R rows of T tokens."""

    input_ids: np.ndarray  # int32 [R, T], padded on the right
    attention_mask: np.ndarray  # int32 [R, T]
    positions: np.ndarray  # int32 [R, 1]


def question_rows(prompts: PromptSet) -> list[ProbedRow]:
    """Make one row for each example: its prompt, probed where the model predicts the label word.

    A masked model reads as many mask tokens as the label word of class 0 has tokens, and the probe
    reads the state at the first.
    """
    causal = prompts.tokens.kind == "causal"

    def probed(row: TokenRow) -> ProbedRow:
        position = row.positions[0]
        return ProbedRow(row.ids[: position + 1] if causal else row.ids, position)

    return [probed(first) for first, *_ in prompts.rows]


def choice_rows(prompts: PromptSet) -> list[list[ProbedRow]]:
    """Make one row for each choice: the prompt with the choice, probed at its last token."""
    causal = prompts.tokens.kind == "causal"

    def probed(row: TokenRow) -> ProbedRow:
        if causal:
            # A row of a causal model lacks the candidate's last token, which is only predicted.
            return ProbedRow([*row.ids, row.targets[-1]], len(row.ids))
        ids = list(row.ids)
        for position, target in zip(row.positions, row.targets, strict=True):
            ids[position] = target
        return ProbedRow(ids, row.positions[-1])

    return [[probed(row) for row in rows] for rows in prompts.rows]


def hidden_states(
    model: LanguageModel,
    rows: Sequence[ProbedRow],
    batch_size: int,
    num_buckets: int,
    announce: Callable[[str], None],
) -> np.ndarray:
    """Compute the last hidden states, which the LM head reads.

    Args:
      model: The model, used with its own parameters.
      rows: N rows.
      batch_size: Rows of a forward pass.
      num_buckets: Most padded lengths, and so most compilations.
      announce: Called with a line that says what is being compiled.

    Returns:
      The states in the order of the rows, float32 [N, H] whatever the model's dtype.
    """

    def states(params: Params, batch: _Rows) -> Array:
        ids, mask = jnp.asarray(batch.input_ids), jnp.asarray(batch.attention_mask)
        hidden, _ = model.hidden(params, ids, mask)
        probed = jnp.take_along_axis(hidden, jnp.asarray(batch.positions)[:, :, None], axis=1)
        return probed[:, 0].astype(jnp.float32)

    lengths = np.array([len(ids) for ids, _ in rows])
    buckets = bucket_lengths(lengths, num_buckets)
    places = np.searchsorted(buckets, lengths)
    compiled = CompiledByShape(states, "the forward pass", announce)
    members = [
        (length, same[start : start + batch_size])
        for length, same in ((buckets[i], np.flatnonzero(places == i)) for i in range(len(buckets)))
        for start in range(0, len(same), batch_size)
    ]
    batches = [_batch([rows[i] for i in some], length, batch_size) for length, some in members]
    compiled.prepare(*((model.params, batch) for batch in batches))
    # All batches are dispatched before the first states are read, so that the device never idles.
    found = [compiled(model.params, batch) for batch in batches]
    result = np.zeros((len(rows), found[0].shape[1]), np.float32)
    for (_, some), of_batch in zip(members, found, strict=True):
        result[some] = np.asarray(of_batch)[: len(some)]
    return result


def _batch(rows: Sequence[ProbedRow], length: int, size: int) -> _Rows:
    batch = _Rows(
        np.zeros((size, length), np.int32),
        np.zeros((size, length), np.int32),
        np.zeros((size, 1), np.int32),
    )
    # Copies of the first row, which is valid, fill the batch up; their states are not used.
    for r, (ids, position) in enumerate([*rows, *[rows[0]] * (size - len(rows))]):
        batch.input_ids[r, : len(ids)] = ids
        batch.attention_mask[r, : len(ids)] = 1
        batch.positions[r, 0] = position
    return batch

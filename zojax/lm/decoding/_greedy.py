"""Greedy decoding with a cache, as one compiled loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from zojax.lm.models import Cache, LanguageModel, Params

NO_TOKEN = -1
"""Fills the columns after a row's last token."""


class _Decoded(NamedTuple):
    """State of the decoding loop."""

    num_decoded: Array  # int32 []: the number of columns of `tokens` that are decoded
    token: Array  # int32 [B]: each row's last decoded token, which the model has not read yet
    done: Array  # bool [B]: rows that have a stop token
    tokens: Array  # int32 [B, N]: the decoded tokens, NO_TOKEN elsewhere
    cache: Cache  # keys and values of the columns that the model has read


def greedy(
    model: LanguageModel,
    params: Params,
    input_ids: Array | np.ndarray,
    attention_mask: Array | np.ndarray,
    *,
    max_new_tokens: int,
    stop_tokens: Sequence[int] | np.ndarray,
) -> Array:
    """Continue each prompt, always with the most likely token.

    The tokens depend on ``params`` alone, so a perturbed model generates what a model with the
    perturbed weights would: with ``evaluation="streamed"`` the weights are perturbed again for each
    token, by the same direction. An adapted model generates with its adapter.

    Args:
      model: A causal model.
      params: A tree shaped like the model's ``params``.
      input_ids: int32 [B, T], padded on the right.
      attention_mask: int32 [B, T]: 1 for a token, 0 for padding; each row has at least one token.
      max_new_tokens: N ≥ 1, the most tokens that a row generates.
      stop_tokens: int32 [S]; a row ends after any of these tokens. See :func:`stop_tokens`.

    Returns:
      int32 [B, N]: the new tokens up to and including the first stop token, and -1 after it.

    Cost: one forward pass over the prompts, and for each of the N - 1 tokens after the first one a
      forward pass over one token of each row, or fewer if all rows stop earlier; a cache of keys
      and values of T + N - 1 columns, and nothing else that grows with N. Streamed, z is drawn
      again in each of these passes: that takes a fraction of the time of a pass over a prompt, but
      most of the time of a pass over one token.

    Raises:
      ValueError: The model is masked, ``max_new_tokens`` < 1, or T + N - 1 columns are more than
        the model has positions for.
    """
    if model.init_cache is None:
        raise ValueError(
            f"greedy: model must be causal, got a {model.config.model_type} model, which is "
            f"{model.kind} and cannot generate text. Take OPT, LLaMA or Mistral."
        )
    if max_new_tokens < 1:
        raise ValueError(f"greedy: max_new_tokens must be >= 1, got {max_new_tokens}.")
    prompt_mask = jnp.asarray(attention_mask).astype(jnp.int32)
    stops = jnp.asarray(stop_tokens, jnp.int32)
    batch, columns = prompt_mask.shape
    # The model reads all new tokens but the last. The mask may have ones for columns that are not
    # yet written to the cache, because the model ignores those.
    new_columns = ((0, 0), (0, max_new_tokens - 1))
    mask = jnp.pad(prompt_mask, new_columns, constant_values=1)

    def decode(hidden: Array, cache: Cache | None, before: _Decoded) -> _Decoded:
        """Decode the next token of each row from its last hidden state, [B, 1, H]."""
        likeliest = jnp.argmax(model.logits(params, hidden[:, 0]), axis=-1).astype(jnp.int32)
        token = jnp.where(before.done, jnp.int32(NO_TOKEN), likeliest)
        return _Decoded(
            num_decoded=before.num_decoded + 1,
            token=likeliest,
            done=before.done | jnp.isin(likeliest, stops),
            tokens=lax.dynamic_update_slice_in_dim(
                before.tokens, token[:, None], before.num_decoded, axis=1
            ),
            cache=cache or {},
        )

    def unfinished(decoded: _Decoded) -> Array:
        return (decoded.num_decoded < max_new_tokens) & ~jnp.all(decoded.done)

    def step(decoded: _Decoded) -> _Decoded:
        return decode(*model.hidden(params, decoded.token[:, None], mask, decoded.cache), decoded)

    empty = _Decoded(
        num_decoded=jnp.int32(0),
        token=jnp.zeros(batch, jnp.int32),
        done=jnp.zeros(batch, bool),
        tokens=jnp.full((batch, max_new_tokens), NO_TOKEN),
        cache={},
    )
    hidden, cache = model.hidden(
        params,
        jnp.asarray(input_ids),
        mask,
        model.init_cache(batch, columns + max_new_tokens - 1),
    )
    last = jnp.sum(prompt_mask, axis=1) - 1
    hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)
    return lax.while_loop(unfinished, step, decode(hidden, cache, empty)).tokens

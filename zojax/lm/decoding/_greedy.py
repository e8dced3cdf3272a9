"""Greedy decoding with a cache, as one compiled loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from zojax.lm.models import Cache, LanguageModel, Params

NOTHING = -1
"""Stands for a token behind the last one written."""


class _Written(NamedTuple):
    decided: Array  # int32 []: columns of tokens that are
    token: Array  # int32 [B]: the last ones, which the model has not read yet
    done: Array  # bool [B]: rows that have written a stop token
    tokens: Array  # int32 [B, N]
    cache: Cache


def greedy(
    model: LanguageModel,
    params: Params,
    input_ids: Array | np.ndarray,
    attention_mask: Array | np.ndarray,
    *,
    max_new_tokens: int,
    stop_tokens: Sequence[int] | np.ndarray,
) -> Array:
    """Write on after each prompt, always the likeliest token.

    The tokens depend on ``params`` alone, and a perturbed model writes what a model with these
    weights would: with ``evaluation="streamed"`` each token reads weights perturbed anew by the
    same direction. An adapted model writes with its adapter.

    Args:
      model: A causal model.
      params: A tree shaped like its ``params``.
      input_ids: int32 [B, T], padded on the right.
      attention_mask: int32 [B, T]: 1 for a token, of which each row has one at least, 0 for
        padding.
      max_new_tokens: Most tokens that a row writes, N ≥ 1.
      stop_tokens: int32 [S]; a row that has written one of them ends. See :func:`stop_tokens`.

    Returns:
      int32 [B, N]: the new tokens, with the stop token where one was written, and -1 behind it.

    Cost: a forward pass over the prompts, and one of a token a row for each of the N - 1 tokens
      behind the first, fewer if all rows stop before; the keys and values of T + N - 1 columns.
      Nothing else grows with N. Streamed, z is drawn again in each of these passes: what is a
      fraction of a pass over a prompt is most of one over a token.

    Raises:
      ValueError: The model is a masked one, ``max_new_tokens`` < 1, or there are more columns than
        the model has positions for.
    """
    if model.init_cache is None:
        raise ValueError(
            f"greedy: model must be causal, got a {model.config.model_type} model, which is "
            f"{model.kind} and does not write. Take OPT, LLaMA or Mistral."
        )
    if max_new_tokens < 1:
        raise ValueError(f"greedy: max_new_tokens must be >= 1, got {max_new_tokens}.")
    prompt_mask = jnp.asarray(attention_mask).astype(jnp.int32)
    stops = jnp.asarray(stop_tokens, jnp.int32)
    batch, columns = prompt_mask.shape
    # The last token is written and never read. Columns not yet written count for nothing.
    unread = ((0, 0), (0, max_new_tokens - 1))
    mask = jnp.pad(prompt_mask, unread, constant_values=1)

    def write(hidden: Array, cache: Cache | None, before: _Written) -> _Written:
        """Decide the next token of each row by its last hidden state, [B, 1, H]."""
        likeliest = jnp.argmax(model.logits(params, hidden[:, 0]), axis=-1).astype(jnp.int32)
        token = jnp.where(before.done, jnp.int32(NOTHING), likeliest)
        return _Written(
            decided=before.decided + 1,
            token=likeliest,
            done=before.done | jnp.isin(likeliest, stops),
            tokens=lax.dynamic_update_slice_in_dim(
                before.tokens, token[:, None], before.decided, axis=1
            ),
            cache=cache or {},
        )

    def goes_on(written: _Written) -> Array:
        return (written.decided < max_new_tokens) & ~jnp.all(written.done)

    def step(written: _Written) -> _Written:
        return write(*model.hidden(params, written.token[:, None], mask, written.cache), written)

    nothing = _Written(
        decided=jnp.int32(0),
        token=jnp.zeros(batch, jnp.int32),
        done=jnp.zeros(batch, bool),
        tokens=jnp.full((batch, max_new_tokens), NOTHING),
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
    return lax.while_loop(goes_on, step, write(hidden, cache, nothing)).tokens

"""Decoding with a cache, as one compiled loop; how a token is chosen is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_batching import custom_vmap

from zojax.lm.models import Cache, LanguageModel, Params

NO_TOKEN = -1
"""Fills the columns after a row's last token."""

Choose: TypeAlias = Callable[[Array, Array], Array]
"""``choose(logits, place)``: float32 [B, V] and int32 [], the number of the token, to int32 [B]."""


class _Decoded(NamedTuple):
    """State of the decoding loop."""

    num_decoded: Array  # int32 []: the number of columns of `tokens` that are decoded
    token: Array  # int32 [B]: each row's last decoded token, which the model has not read yet
    done: Array  # bool [B]: rows that have a stop token
    tokens: Array  # int32 [B, N]: the decoded tokens, NO_TOKEN elsewhere
    cache: Cache  # keys and values of the columns that the model has read


def decode(
    where: str,
    model: LanguageModel,
    params: Params,
    input_ids: Array | np.ndarray,
    attention_mask: Array | np.ndarray,
    *,
    max_new_tokens: int,
    stop_tokens: Sequence[int] | np.ndarray,
    choose: Choose,
) -> Array:
    """Continue each prompt: see :func:`greedy`.

    Under ``vmap``, the points of a step with ``batched=True``, all points go on until the rows of
    all of them have stopped, so that they share the loop and every product with the weights.

    Args:
      where: The function that was called, for messages.
      model, params, input_ids, attention_mask, max_new_tokens, stop_tokens: As for :func:`greedy`.
      choose: Chooses each row's token.
    """
    if model.init_cache is None:
        raise ValueError(
            f"{where}: model must be causal, got a {model.config.model_type} model, which is "
            f"{model.kind} and cannot generate text. Take OPT, LLaMA or Mistral."
        )
    if max_new_tokens < 1:
        raise ValueError(f"{where}: max_new_tokens must be >= 1, got {max_new_tokens}.")
    prompt_mask = jnp.asarray(attention_mask).astype(jnp.int32)
    stops = jnp.asarray(stop_tokens, jnp.int32)
    batch, columns = prompt_mask.shape
    # The model reads all new tokens but the last. The mask may have ones for columns that are not
    # yet written to the cache, because the model ignores those.
    new_columns = ((0, 0), (0, max_new_tokens - 1))
    mask = jnp.pad(prompt_mask, new_columns, constant_values=1)

    def next_token(hidden: Array, cache: Cache | None, before: _Decoded) -> _Decoded:
        """Decode the next token of each row from its last hidden state, [B, 1, H]."""
        chosen = choose(model.logits(params, hidden[:, 0]), before.num_decoded)
        token = jnp.where(before.done, jnp.int32(NO_TOKEN), chosen)
        return _Decoded(
            num_decoded=before.num_decoded + 1,
            token=chosen,
            done=before.done | jnp.isin(chosen, stops),
            tokens=lax.dynamic_update_slice_in_dim(
                before.tokens, token[:, None], before.num_decoded, axis=1
            ),
            cache=cache or {},
        )

    def unfinished(decoded: _Decoded) -> Array:
        return (decoded.num_decoded < max_new_tokens) & ~_all(decoded.done)

    def step(decoded: _Decoded) -> _Decoded:
        return next_token(
            *model.hidden(params, decoded.token[:, None], mask, decoded.cache), decoded
        )

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
    return lax.while_loop(unfinished, step, next_token(hidden, cache, empty)).tokens


@custom_vmap
def _all(done: Array) -> Array:
    """Whether all rows are done, bool []; under ``vmap``, those of all points, and one answer.

    With an answer for each point ``while_loop`` would go on for each by itself: it would copy every
    point's cache in each round, and write the caches row by row.
    """
    return jnp.all(done)


@_all.def_vmap
def _all_of_all(  # pyright: ignore[reportUnusedFunction]
    size: int, is_batched: Sequence[bool], done: Array
) -> tuple[Array, bool]:
    del size, is_batched
    # Called again, for there may be several vmaps around it.
    return _all(done), False


def row_keys(key: Array, *numbers: Array | np.ndarray | int) -> Array:
    """A key for each row, which its numbers alone decide: keys [B]."""
    found = key
    for number in numbers:
        found = _fold(found, jnp.asarray(number, jnp.uint32))
    return found


def _fold(key: Array, number: Array) -> Array:
    shape = jnp.broadcast_shapes(key.shape, number.shape)
    keys, numbers = jnp.broadcast_to(key, shape), jnp.broadcast_to(number, shape)
    flat = jax.vmap(jax.random.fold_in)(keys.reshape(-1), numbers.reshape(-1))
    return flat.reshape(shape)

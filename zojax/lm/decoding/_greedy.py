"""Greedy decoding."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.decoding._loop import decode
from zojax.lm.models import LanguageModel, Params


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
      most of the time of a pass over one token. With ``batched=True`` and low-rank directions the
      points of a step write together: they share the loop and each product with the weights.

    Raises:
      ValueError: The model is masked, ``max_new_tokens`` < 1, or T + N - 1 columns are more than
        the model has positions for.
    """
    return decode(
        "greedy",
        model,
        params,
        input_ids,
        attention_mask,
        max_new_tokens=max_new_tokens,
        stop_tokens=stop_tokens,
        choose=lambda logits, place: jnp.argmax(logits, axis=-1).astype(jnp.int32),  # noqa: ARG005
    )

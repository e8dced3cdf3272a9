"""Decoding by chance, with noise that does not depend on the parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from zojax.lm.decoding._loop import decode
from zojax.lm.models import LanguageModel, Params

_BITS = 31  # of a float32 that is not negative


def sample(
    model: LanguageModel,
    params: Params,
    input_ids: Array | np.ndarray,
    attention_mask: Array | np.ndarray,
    *,
    keys: Array,
    max_new_tokens: int,
    stop_tokens: Sequence[int] | np.ndarray,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> Array:
    r"""Continue each prompt with tokens drawn from the model's distribution.

    Token n of a row is :math:`\arg\max_v \ell_v / \tau + g_v`, with Gumbel noise g from the row's
    key and n alone. So two models that are nearly the same write nearly the same texts: losses at
    the points of a step differ by the models, and not by luck (common random numbers).

    Args:
      model, params, input_ids, attention_mask, max_new_tokens, stop_tokens: As for :func:`greedy`.
      keys: Typed keys [B], one for each row.
      temperature: τ > 0.
      top_p: Draw from the likeliest tokens alone, as few as have this probability together; in
        (0, 1]. Tokens as likely as the last of them belong to them.

    Returns:
      int32 [B, N], as :func:`greedy` does.

    Cost: that of :func:`greedy`, and B · V random numbers a token, which the points of a step with
      ``batched=True`` share. ``top_p`` < 1 adds 31 sums over the vocabulary for each token, of each
      point.

    Raises:
      ValueError: As :func:`greedy` does; or ``temperature`` or ``top_p`` is out of range.

    References:
      Holtzman et al., 2020, arXiv:1904.09751 (top-p).
    """
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"sample: temperature must be > 0 and finite, got {temperature}. For the most likely "
            "token, use greedy."
        )
    if not 0 < top_p <= 1:
        raise ValueError(f"sample: top_p must lie within (0, 1], got {top_p}.")

    def choose(logits: Array, place: Array) -> Array:
        # Drawn before it meets the logits, so that under vmap over points it is drawn once.
        noise = jax.vmap(lambda key: _gumbel(key, place, logits.shape[-1]))(keys)
        scaled = logits / jnp.float32(temperature)
        if top_p < 1:
            scaled = jnp.where(_likeliest(scaled, top_p), scaled, -jnp.inf)
        return jnp.argmax(scaled + noise, axis=-1).astype(jnp.int32)

    return decode(
        "sample",
        model,
        params,
        input_ids,
        attention_mask,
        max_new_tokens=max_new_tokens,
        stop_tokens=stop_tokens,
        choose=choose,
    )


def _gumbel(key: Array, place: Array, size: int) -> Array:
    return jax.random.gumbel(jax.random.fold_in(key, place), (size,), jnp.float32)


def _likeliest(logits: Array, top_p: float) -> Array:
    """The likeliest tokens that have the probability ``top_p`` together, bool [B, V].

    The bits of floats that are not negative are ordered as the floats are, so that bisection finds
    the smallest probability exactly, without sorting the vocabulary.
    """
    probabilities = jax.nn.softmax(logits, axis=-1)

    def enough(bits: Array) -> Array:
        least = lax.bitcast_convert_type(bits, jnp.float32)[:, None]
        kept = jnp.where(probabilities >= least, probabilities, jnp.zeros_like(probabilities))
        return jnp.sum(kept, axis=-1) >= jnp.float32(top_p)

    def halve(index: Array, least: Array) -> Array:
        higher = least | (jnp.int32(1) << (_BITS - 1 - index).astype(jnp.int32))
        # Above the bits of 1.0 nothing is kept, so infinities and NaN are never taken.
        return jnp.where(enough(higher), higher, least)

    least = lax.fori_loop(0, _BITS, halve, jnp.zeros(logits.shape[:1], jnp.int32))
    return probabilities >= lax.bitcast_convert_type(least, jnp.float32)[:, None]

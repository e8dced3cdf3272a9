"""Objectives that are any Python function of the texts that a model generates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from zojax.lm.decoding._greedy import greedy
from zojax.lm.decoding._text import stop_tokens, texts
from zojax.lm.models import LanguageModel

Cost: TypeAlias = Callable[..., float]
"""``cost(texts, *arrays) -> float``, to be minimized."""

TextObjective: TypeAlias = Callable[..., Array]
"""``objective(params, input_ids, attention_mask, *arrays) -> float32 []``."""


def text_objective(model: LanguageModel, cost: Cost, *, max_new_tokens: int = 50) -> TextObjective:
    r"""Make an objective from any Python function of the texts that the model generates.

    The function needs neither gradients nor JAX: it may count words, run a parser or another
    program.

    Args:
      model: A causal model.
      cost: ``cost(texts, *arrays) -> float``, to be minimized. It takes the list of the B generated
        texts, and as NumPy arrays the further arguments of the objective, such as the indices of
        the prompts in a table of right answers.
      max_new_tokens: Most tokens of a text; a line break or the end of sequence may end it earlier.

    Returns:
      ``objective(params, input_ids, attention_mask, *arrays) -> float32 []``, which takes prompts,
      int32 [B, T], padded on the right, and their mask.

    Cost: that of :func:`greedy`, and a callback from the compiled program to Python with B · N
      tokens, for which the device waits. Every ``evaluation`` works: ``"streamed"`` needs the least
      memory and draws z again for each token; ``"copy"`` draws z once and needs a second copy of
      the parameters.
    Error: the objective is a step function of the parameters. Its gradient is zero almost
      everywhere, so first-order optimizers and forward gradients learn nothing from it. A
      zeroth-order slope is zero if the texts at both points have the same cost: use a larger
      ``eps`` and more prompts.

    Raises:
      ValueError: As :func:`greedy` does. An exception in ``cost`` becomes a ``JaxRuntimeError``
        that quotes it.

    Examples:
      Minimize the number of words::

          brief = text_objective(model, lambda texts: sum(len(text.split()) for text in texts))
          updates, state = tx.update(
              None, state, params, value_fn=lambda p: brief(p, input_ids, attention_mask)
          )
    """
    tokenizer = model.tokenizer
    stops = stop_tokens(tokenizer)

    def call(tokens: Any, *arrays: Any) -> np.ndarray:
        value = cost(texts(tokenizer, tokens), *(np.asarray(array) for array in arrays))
        return np.asarray(value, np.float32)

    def objective(params: Any, input_ids: Array, attention_mask: Array, *arrays: Array) -> Array:
        tokens = greedy(
            model,
            params,
            input_ids,
            attention_mask,
            max_new_tokens=max_new_tokens,
            stop_tokens=stops,
        )
        return jax.pure_callback(
            call,
            jax.ShapeDtypeStruct((), jnp.float32),
            tokens,
            *arrays,
            vmap_method="sequential",
        )

    return objective

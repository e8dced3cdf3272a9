"""Objectives that are any Python function of what a model writes."""

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
"""``cost(texts, *arrays) -> float``, to be made small."""

TextObjective: TypeAlias = Callable[..., Array]
"""``objective(params, input_ids, attention_mask, *arrays) -> float32 []``."""


def text_objective(model: LanguageModel, cost: Cost, *, max_new_tokens: int = 50) -> TextObjective:
    r"""Make an objective of any Python function of the texts that the model writes.

    What the function does needs no gradient and no JAX: a word count, a parser, another program.

    Args:
      model: A causal model.
      cost: ``cost(texts, *arrays) -> float``, to be made small: the texts written to the prompts,
        a list of B, and NumPy arrays of whatever else the objective was given, such as the places
        of the prompts in a table of right answers.
      max_new_tokens: Most tokens of a text; a line break or the end of sequence ends it before.

    Returns:
      ``objective(params, input_ids, attention_mask, *arrays) -> float32 []``, whose prompts are
      int32 [B, T], padded on the right, with their mask.

    Cost: :func:`greedy`'s, and a call back from the compiled program to Python, with B · N tokens,
      whose time the device waits for. It works in every evaluation. ``"streamed"`` needs the least
      memory, and draws z again for each token; ``"copy"`` draws it once, and holds a second copy
      of the parameters.
    Error: A step function of the parameters: its gradient is zero wherever it is defined, so
      first-order optimizers and forward gradients learn nothing from it. A zeroth-order slope is
      zero where both ends write texts of the same cost: take a larger ``eps``, and more prompts.

    Raises:
      ValueError: As :func:`greedy` does. Whatever ``cost`` raises ends the program as a
        ``JaxRuntimeError`` that quotes it.

    Examples:
      Fewer words::

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

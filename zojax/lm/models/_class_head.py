"""What classes add to a language model: a head of their own, or a bias of their label words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.models._language_model import LanguageModel, Params
from zojax.lm.models._save import Writer

SCORE = "score"
KERNEL, BIAS = "kernel", "bias"
LM_HEAD = "lm_head"


def with_score(
    model: LanguageModel, own: Params, labels: tuple[str, ...], part: str | None = None
) -> LanguageModel:
    """Add a head of classes, or a bias of the label words' scores, to a model.

    Args:
      model: A model without either; it is not changed.
      own: ``{"kernel": float32 [H, C]}``, a head in place of the language-modelling head, which is
        left out of the parameters unless an adapter holds them; or ``{"bias": float32 [C]}``.
      labels: The names of the C classes.
      part: The part of the parameters that gets ``own``: ``"adapter"`` for a model with an adapter.

    Returns:
      The model whose parameters have ``own`` under the name ``score``. It has
      :attr:`LanguageModel.scores`, or :attr:`LanguageModel.bias`.
    """
    own = {SCORE: dict(own)}
    if part is None:
        kept = model.params
        if KERNEL in own[SCORE]:
            # Nothing reads it any more, and steps would only add noise to it.
            kept = {name: leaf for name, leaf in kept.items() if name != LM_HEAD}
        params = {**kept, **own}
    else:
        params = {**model.params, part: {**model.params[part], **own}}
    return scored(dataclasses.replace(model, params=params), labels, part)


def scored(model: LanguageModel, labels: tuple[str, ...], part: str | None = None) -> LanguageModel:
    """The functions of a model whose parameters have a head or a bias already; as with_score's."""
    own = (model.params if part is None else model.params[part])[SCORE]

    def of(params: Params) -> Params:
        return (params if part is None else params[part])[SCORE]

    def without(params: Params) -> Params:
        if part is not None:
            return {**params, part: without_score(params[part])}
        return without_score(params)

    def on_rest(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda params, *args, **kwargs: function(without(params), *args, **kwargs)

    shared: dict[str, Any] = {"hidden": on_rest(model.hidden), "sown": on_rest(model.sown)}
    if KERNEL not in own:
        return dataclasses.replace(
            model,
            labels=labels,
            logits=on_rest(model.logits),
            bias=lambda params: of(params)[BIAS],
            write=on_rest(model.write),
            **shared,
        )

    def scores(params: Params, hidden: Array) -> Array:
        # In float32, the precision of the kernel: losses of a step differ in their last digits.
        return jnp.dot(hidden.astype(jnp.float32), of(params)[KERNEL])

    write = model.write
    if part is None and isinstance(write, Writer):
        write = _writer(write, model, labels)
    return dataclasses.replace(
        model, labels=labels, logits=_refuse_logits, scores=scores, write=write, **shared
    )


def without_score(params: Params) -> Params:
    """The parameters without the head or the bias of the classes."""
    return {name: leaf for name, leaf in params.items() if name != SCORE}


def score_shapes(shapes: Params, features: int, classes: int) -> Params:
    """The shapes of a model's parameters with a head of classes in place of its other head."""
    kept = {name: leaf for name, leaf in shapes.items() if name != LM_HEAD}
    return {**kept, SCORE: {KERNEL: jax.ShapeDtypeStruct((features, classes), jnp.float32)}}


def features_of(model: LanguageModel) -> int:
    """H, the features of a hidden state, which a head reads."""
    token = jnp.ones((1, 1), jnp.int32)
    hidden, _ = jax.eval_shape(lambda params: model.hidden(params, token, token), model.params)
    return hidden.shape[-1]


def _writer(write: Writer, model: LanguageModel, labels: tuple[str, ...]) -> Writer:
    tokenizer: Any = model.tokenizer
    padding = tokenizer.pad_token_id
    # transformers scores the last token that is not padding. A prompt never ends in one of the
    # tokens that end a text, so where there is no padding token, that one can stand for it.
    return write.with_score(
        labels, SCORE, LM_HEAD, tokenizer.eos_token_id if padding is None else padding
    )


def _refuse_logits(*_: Any, **__: Any) -> NoReturn:
    raise ValueError(
        "LanguageModel.logits: the model must have a language-modelling head, got one with a head "
        "of classes in its place. Take its scores."
    )

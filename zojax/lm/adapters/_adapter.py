"""The interface of adapters: a few trainable parameters added to a frozen model."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.models import LanguageModel, Params

MODEL, ADAPTER = "model", "adapter"
# transformers' name for the number of written columns, which every layer of a cache has.
CACHE_INDEX = "cache_index"
LeafPath = tuple[str, ...]


class Adapter(abc.ABC):
    """A kind of adapter: which parameters it adds to a model, and how the model uses them.

    :class:`LoRA`, :class:`Prefix`, :class:`VirtualTokens` and :class:`HeadTuning` are the adapters
    of this package. Their attributes are settings, never arrays.
    """

    def adapt(self, model: LanguageModel, key: int | Array) -> LanguageModel:
        """Add this adapter, with newly initialized parameters, to a model.

        Args:
          model: A model without an adapter; it is not changed.
          key: Typed PRNG key or int seed, for the adapter's initial values.

        Returns:
          A model whose ``params`` are ``{"model": model.params, "adapter": {...}}``, with the base
          arrays themselves and not copies. All its functions take a tree of this structure.
          ``zojax.select(tx, "adapter/*")`` trains the adapter alone.

        Raises:
          ValueError: The settings do not fit the model, or the model already has an adapter.
          TypeError: ``key`` is neither a scalar typed key nor an int.
        """
        where = f"{type(self).__name__}.adapt"
        if model.params.keys() == {MODEL, ADAPTER}:
            raise ValueError(f"{where}: model must be one without an adapter, got an adapted one.")
        return self.wrap(model, self.initial(model, _typed_key(where, key)))

    @abc.abstractmethod
    def initial(self, model: LanguageModel, key: Array) -> Params:
        """Return the initial values, a nested dict of float arrays, for a typed ``key``."""

    @abc.abstractmethod
    def wrap(self, model: LanguageModel, own: Params) -> LanguageModel:
        """Return the model adapted with the values ``own``, shaped like :meth:`initial`'s."""

    def merged(self, params: Params) -> Params:  # noqa: ARG002 - some adapters can merge
        """Return base parameters that compute the same as ``params``; see :func:`merge`."""
        name = type(self).__name__
        raise ValueError(
            f"merge: adapter must be a LoRA or an untied HeadTuning, got {name}, whose effect no "
            f"weights of the model can have. Save the adapter with save_adapter."
        )


def merge(adapter: Adapter, params: Params) -> Params:
    """Merge an adapter into the base parameters, which then compute the same as the adapted model.

    LoRA's products are added to the weights in float32 and rounded once to the weights' dtype; a
    tuned head replaces the model's. The base model's ``save`` writes the result.

    Args:
      adapter: The adapter that made ``params``.
      params: The tree of the adapted model, ``{"model": ..., "adapter": ...}``; it is not changed.

    Cost: a copy of each weight that changes; the others are shared.

    Raises:
      ValueError: ``params`` is not the tree of an adapted model; the adapter is a :class:`Prefix`
        or :class:`VirtualTokens`, which cannot be merged into weights; or it is a
        :class:`HeadTuning` of a model whose head is tied to its token embedding.
    """
    check_tree("merge", params)
    return adapter.merged(params)


def check_count(where: str, name: str, value: Any) -> None:
    """Refuse a setting that is not an int ≥ 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{where}: {name} must be an int, got {value!r}.")
    if value < 1:
        raise ValueError(f"{where}: {name} must be >= 1, got {value}.")


def check_tree(where: str, params: Params) -> None:
    """Refuse ``params`` that are not the tree of an adapted model."""
    if params.keys() != {MODEL, ADAPTER}:
        raise ValueError(
            f"{where}: params must be the adapted model's tree, with {MODEL!r} and {ADAPTER!r}, "
            f"got one with {sorted(params)}."
        )


def adapted(model: LanguageModel, own: Params, **functions: Any) -> LanguageModel:
    """Make an adapted model with the adapter's values ``own``.

    ``functions`` replace those of ``model`` and take the tree of both. ``hidden`` and ``logits``,
    if they are not replaced, apply the model's functions to its own part of the tree.
    """

    def on_model(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda params, *args, **kwargs: function(params[MODEL], *args, **kwargs)

    functions = {
        "hidden": on_model(model.hidden),
        "logits": on_model(model.logits),
        "sown": on_model(model.sown),
        # Those of a model that was loaded with a head of classes, which stays frozen.
        "scores": model.scores and on_model(model.scores),
        "bias": model.bias and on_model(model.bias),
        **functions,
    }
    params = {MODEL: model.params, ADAPTER: own}
    return dataclasses.replace(
        model, params=params, prefix=None, write=_refuse_to_write, **functions
    )


def _refuse_to_write(*_: Any) -> NoReturn:
    raise ValueError(
        "LanguageModel.save: the model must be one without an adapter, got an adapted one. Write "
        "the adapter with save_adapter, or the weights that merge gives with the base model's save."
    )


def _typed_key(where: str, key: Any) -> Array:
    if isinstance(key, int) and not isinstance(key, bool):
        return jax.random.key(key)
    if isinstance(key, Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and not key.shape:
        return key
    raise TypeError(
        f"{where}: key must be a typed key or an int seed, got {key!r}. Write jax.random.key(0)."
    )


def flat(params: Params) -> dict[LeafPath, Array]:
    """Flatten nested dicts: leaves by path."""
    from flax.traverse_util import flatten_dict

    return flatten_dict(params)  # pyright: ignore[reportReturnType]


def nested(leaves: dict[LeafPath, Any]) -> Params:
    """Invert :func:`flat`."""
    from flax.traverse_util import unflatten_dict

    return unflatten_dict(leaves)


def with_ones(mask: Array, columns: int) -> Array:
    """Prepend ``columns`` columns of ones to ``mask`` [B, T]."""
    return jnp.concatenate([jnp.ones((mask.shape[0], columns), mask.dtype), mask], axis=1)

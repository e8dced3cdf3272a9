"""What every adapter is: a few parameters beside a model that stays as it is."""

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
# What transformers calls the number of columns written, in every layer of a cache.
CACHE_INDEX = "cache_index"
LeafPath = tuple[str, ...]


class Adapter(abc.ABC):
    """Parameters beside a model's own, and how the model computes with both.

    :class:`LoRA`, :class:`Prefix`, :class:`VirtualTokens` and :class:`HeadTuning` are the adapters
    of this package; their attributes are settings, never arrays.
    """

    def adapt(self, model: LanguageModel, key: int | Array) -> LanguageModel:
        """The model with fresh parameters of this adapter.

        Args:
          model: Stays as it is; one without an adapter.
          key: Typed PRNG key or int seed, for the adapter's first values.

        Returns:
          A model whose ``params`` are ``{"model": model.params, "adapter": {...}}``: the base
          arrays themselves, not copies. All its functions take such a tree.
          ``zojax.select(tx, "adapter/*")`` moves the adapter alone.

        Raises:
          ValueError: The settings do not fit the model, or it has an adapter already.
          TypeError: ``key`` is neither one typed key nor an int.
        """
        where = f"{type(self).__name__}.adapt"
        if model.params.keys() == {MODEL, ADAPTER}:
            raise ValueError(f"{where}: model must be one without an adapter, got an adapted one.")
        return self.wrap(model, self.initial(model, _typed_key(where, key)))

    @abc.abstractmethod
    def initial(self, model: LanguageModel, key: Array) -> Params:
        """The adapter's first values, a nested dict of float arrays, for a typed ``key``."""

    @abc.abstractmethod
    def wrap(self, model: LanguageModel, own: Params) -> LanguageModel:
        """The model with ``own`` as the adapter's values, shaped like :meth:`initial`'s."""

    def merged(self, params: Params) -> Params:  # noqa: ARG002 - some adapters can merge
        """The base parameters that alone compute what ``params`` compute; see :func:`merge`."""
        name = type(self).__name__
        raise ValueError(
            f"merge: adapter must be a LoRA or an untied HeadTuning, got {name}: no weights of the "
            f"model compute what a {name} adds. Save it beside the model with save_adapter."
        )


def merge(adapter: Adapter, params: Params) -> Params:
    """The base parameters that alone compute what an adapted model computes.

    LoRA's products are added to the weights, in float32, and rounded once to the weights' dtype; a
    tuned head takes the place of the model's. The base model's ``save`` writes them, and
    transformers' Flax class and :func:`zojax.lm.models.load` read that.

    Args:
      adapter: What made ``params``.
      params: The tree of the adapted model, ``{"model": ..., "adapter": ...}``; stays as it is.

    Cost: a copy of each weight that changes; the others are shared.

    Raises:
      ValueError: ``params`` is not such a tree; the adapter is a :class:`Prefix` or
        :class:`VirtualTokens`, which no weights replace; or it is a :class:`HeadTuning` of a model
        whose head is its token embedding as well.
    """
    check_tree("merge", params)
    return adapter.merged(params)


def check_count(where: str, name: str, value: Any) -> None:
    """Refuse a setting that is no whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{where}: {name} must be an int, got {value!r}.")
    if value < 1:
        raise ValueError(f"{where}: {name} must be >= 1, got {value}.")


def check_tree(where: str, params: Params) -> None:
    """Refuse what is not the tree of an adapted model."""
    if params.keys() != {MODEL, ADAPTER}:
        raise ValueError(
            f"{where}: params must be the adapted model's tree, with {MODEL!r} and {ADAPTER!r}, "
            f"got one with {sorted(params)}."
        )


def adapted(model: LanguageModel, own: Params, **functions: Any) -> LanguageModel:
    """``model`` with the adapter's values ``own``; ``functions`` take the tree of both.

    The functions that are not given are the model's, of its own part of the tree.
    """

    def below(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda params, *args, **kwargs: function(params[MODEL], *args, **kwargs)

    functions = {"hidden": below(model.hidden), "logits": below(model.logits), **functions}
    params = {MODEL: model.params, ADAPTER: own}
    return dataclasses.replace(model, params=params, write=_refuse_to_write, **functions)


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
    """The leaves of nested dicts by their paths."""
    from flax.traverse_util import flatten_dict

    return flatten_dict(params)  # pyright: ignore[reportReturnType]


def nested(leaves: dict[LeafPath, Any]) -> Params:
    """The reverse of :func:`flat`."""
    from flax.traverse_util import unflatten_dict

    return unflatten_dict(leaves)


def with_ones(mask: Array, columns: int) -> Array:
    """``mask`` [B, T] with ``columns`` more ones in front."""
    return jnp.concatenate([jnp.ones((mask.shape[0], columns), mask.dtype), mask], axis=1)

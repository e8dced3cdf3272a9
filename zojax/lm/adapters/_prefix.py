"""Prefix tuning: trainable keys and values before those of the text, in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from zojax.lm.adapters._adapter import (
    ADAPTER,
    CACHE_INDEX,
    MODEL,
    Adapter,
    LeafPath,
    adapted,
    flat,
    nested,
    with_ones,
)
from zojax.lm.adapters._modules import Around, Run, around, random_tokens
from zojax.lm.models import Cache, InitCache, LanguageModel, Params

# A causal model's names for the cached keys and values of a layer -> a prefix's names.
_CACHED = {"cached_key": "key", "cached_value": "value"}


@dataclass(frozen=True)
class Prefix(Adapter):
    """Prefix tuning: trainable keys and values that every layer attends to, besides the text's.

    They are initialized to the keys and values that the model computes for random tokens of its
    vocabulary, and are trained directly: no network computes them. According to MeZO's Table 17,
    this initialization is 1 to 6 points better than a random one.

    In a causal model the prefix fills the first columns of the cache, and the text's positions
    continue after it, as after any cached columns. A newly initialized prefix therefore computes
    the same as the model does for the random tokens and the text in one row. (MeZO's code does not
    shift the text's positions, except while it generates.) In a masked model the text's positions
    are not shifted.

    Attributes:
      length: n, the number of positions of the prefix; with 0 the model is unchanged.

    Cost: 2n times the width of the keys in each layer, in float32 whatever the model's dtype;
      attention over n more positions, by which a causal model's longest row gets shorter.

    Raises:
      ValueError: ``length`` < 0.

    References:
      Li and Liang, 2021, arXiv:2101.00190. Malladi et al., 2023, arXiv:2305.17333.
    """

    length: int = 5

    def __post_init__(self) -> None:
        """Check the length."""
        if self.length < 0:
            raise ValueError(f"Prefix: length must be >= 0, got {self.length}.")

    def initial(self, model: LanguageModel, key: Array) -> Params:
        # The model is run on at least one token, because no model takes an empty row.
        ids = random_tokens(model, key, max(self.length, 1))[None]
        start = jax.jit(lambda params, ids: _keys_and_values(model, params, ids))(model.params, ids)
        return nested({path: x[0, : self.length].astype(jnp.float32) for path, x in start.items()})

    def wrap(self, model: LanguageModel, own: Params) -> LanguageModel:
        if model.init_cache is None:
            return _in_modules(model, own, self.length)
        return _in_cache(model, model.init_cache, own, self.length)


def _in_cache(
    model: LanguageModel, empty_cache: InitCache, own: Params, length: int
) -> LanguageModel:
    def init_cache(batch: int, columns: int, dtype: DTypeLike | None = None) -> Cache:
        leaves = flat(empty_cache(batch, length + columns, dtype))
        # The prefix's columns are marked as written; `hidden` writes their values at every call.
        return nested({p: x + length if p[-1] == CACHE_INDEX else x for p, x in leaves.items()})

    def hidden(
        params: Params, input_ids: Array, attention_mask: Array, cache: Cache | None = None
    ) -> tuple[Array, Cache | None]:
        batch, tokens = input_ids.shape
        columns = flat(init_cache(batch, tokens) if cache is None else cache)
        for path, prefix in flat(params[ADAPTER]).items():
            # The prefix is written at every call, because it may be perturbed differently each
            # time.
            name = (*path[:-1], f"cached_{path[-1]}")
            columns[name] = jax.lax.dynamic_update_slice(
                columns[name], _rows(prefix, columns[name]), (0,) * columns[name].ndim
            )
        mask = with_ones(attention_mask, length)
        states, written = model.hidden(params[MODEL], input_ids, mask, nested(columns))
        return states, None if cache is None else written

    return adapted(
        model, own, hidden=hidden, init_cache=init_cache, max_length=model.max_length - length
    )


def _in_modules(model: LanguageModel, own: Params, length: int) -> LanguageModel:
    paths = set(flat(own))
    layers = {path[:-1] for path in paths}

    def attend(run: Run, args: Any, kwargs: Any) -> Any:
        # Only the mask of the layer is extended: from the model's mask, the text's positions are
        # computed.
        states, mask, *others = args
        return run(states, with_ones(mask, length), *others, **kwargs)

    def hidden(
        params: Params, input_ids: Array, attention_mask: Array, cache: Cache | None = None
    ) -> tuple[Array, Cache | None]:
        prefix = flat(params[ADAPTER])

        def find(module: Any) -> Around | None:
            if module.path in layers:
                return attend
            if module.path not in paths:
                return None

            def project(run: Run, args: Any, kwargs: Any) -> Array:
                text = run(*args, **kwargs)
                return jnp.concatenate([_rows(prefix[module.path], text), text], axis=1)

            return project

        with around(find):
            return model.hidden(params[MODEL], input_ids, attention_mask, cache)

    return adapted(model, own, hidden=hidden)


def _rows(prefix: Array, like: Array) -> Array:
    """Broadcast the prefix to the rows of ``like``, in its dtype."""
    return jnp.broadcast_to(prefix.astype(like.dtype)[None], (like.shape[0], *prefix.shape))


def _keys_and_values(model: LanguageModel, params: Params, ids: Array) -> dict[LeafPath, Array]:
    """The keys and values of every layer, [1, n, ...], for int32 [1, n] ``ids``."""
    ones = jnp.ones_like(ids)
    if model.init_cache is not None:
        _, cache = model.hidden(params, ids, ones, model.init_cache(1, ids.shape[1]))
        columns = flat(cache or {})
        return {(*p[:-1], _CACHED[p[-1]]): x for p, x in columns.items() if p[-1] in _CACHED}
    found: dict[LeafPath, Array] = {}

    def find(module: Any) -> Around | None:
        if module.path[-1:] not in {("key",), ("value",)}:
            return None

        def project(run: Run, args: Any, kwargs: Any) -> Array:
            found[module.path] = run(*args, **kwargs)
            return found[module.path]

        return project

    with around(find):
        model.hidden(params, ids, ones)
    return found

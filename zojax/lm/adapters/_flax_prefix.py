"""Prefix tuning of transformers' Flax classes.

A causal model has the prefix in the first columns of its cache; a masked model, which has no
cache, before the keys and values that its modules compute.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from zojax.lm.adapters._adapter import (
    ADAPTER,
    CACHE_INDEX,
    MODEL,
    adapted,
    flat,
    nested,
    with_ones,
)
from zojax.lm.adapters._modules import Around, Run, around
from zojax.lm.models import Cache, InitCache, LanguageModel, Params

# A causal model's names for the cached keys and values of a layer -> a prefix's names.
_CACHED = {"cached_key": "key", "cached_value": "value"}


def wrap_flax(model: LanguageModel, own: Params, length: int) -> LanguageModel:
    """Return the model with a prefix of ``length`` columns."""
    if model.init_cache is None:
        return _in_modules(model, own)
    return _in_cache(model, model.init_cache, own, length)


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


def _in_modules(model: LanguageModel, own: Params) -> LanguageModel:
    layers = {path[:-2] for path in flat(own)}

    def hidden(
        params: Params, input_ids: Array, attention_mask: Array, cache: Cache | None = None
    ) -> tuple[Array, Cache | None]:
        def attend(run: Run, args: Any, kwargs: Any) -> Any:
            # Only the mask of the layer is extended: from the model's mask, the text's positions
            # are computed.
            states, mask, *others = args
            length = next(iter(flat(params[ADAPTER]).values())).shape[0]
            return run(states, with_ones(mask, length), *others, **kwargs)

        def find(module: Any) -> Around | None:
            if module.path in layers:
                return attend
            if not module.has_variable(ADAPTER, "rows"):
                return None
            rows = module.get_variable(ADAPTER, "rows")

            def project(run: Run, args: Any, kwargs: Any) -> Array:
                text = run(*args, **kwargs)
                # The projection has not been split into heads yet.
                columns = rows.reshape(rows.shape[0], -1)
                return jnp.concatenate([_rows(columns, text), text], axis=1)

            return project

        with around(find):
            return model.hidden(
                params[MODEL], input_ids, attention_mask, cache, adapter=params[ADAPTER]
            )

    return adapted(model, own, hidden=hidden)


def _rows(prefix: Array, like: Array) -> Array:
    """Broadcast the prefix to the rows of ``like``, in its dtype."""
    return jnp.broadcast_to(prefix.astype(like.dtype)[None], (like.shape[0], *prefix.shape))


def flax_prefix(model: LanguageModel, params: Params, ids: Array) -> Params:
    """The keys and values of every layer, [n, heads, D], for int32 [1, n] ``ids``."""
    ones = jnp.ones_like(ids)
    if model.init_cache is not None:
        _, cache = model.hidden(params, ids, ones, model.init_cache(1, ids.shape[1]))
        columns = flat(cache or {})
        return nested(
            {(*p[:-1], _CACHED[p[-1]]): x[0] for p, x in columns.items() if p[-1] in _CACHED}
        )

    def find(module: Any) -> Around | None:
        if module.path[-1:] not in {("key",), ("value",)}:
            return None

        def project(run: Run, args: Any, kwargs: Any) -> Array:
            rows = run(*args, **kwargs)
            module.sow("sown", "rows", rows[0, :, None])
            return rows

        return project

    with around(find):
        found = model.sown(params, ids, ones)
    return nested({path: rows for path, (rows,) in flat(found).items()})

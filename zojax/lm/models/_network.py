"""The functions of a language model, computed by :class:`Transformer`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from zojax.lm.models._language_model import Cache, Params
from zojax.lm.models._layers import ADAPTER
from zojax.lm.models._promotion import lenient
from zojax.lm.models._transformer import SOWN, Transformer
from zojax.quantized import dequantizing

PREFIX = ("prefix_key", "prefix_value")
_CACHED = ("cached_key", "cached_value")


class Network:
    """The functions of a :class:`~zojax.lm.models.LanguageModel`; its docstring describes them.

    Quantized weights are dequantized where the modules read them.

    Args:
      module: The transformer.
      name: The family's name, for messages.
    """

    def __init__(self, module: Transformer, name: str) -> None:
        self._module, self._config, self._name = module, module.config, name

    def shapes(self) -> Any:
        """The shapes of the parameters."""
        token = jnp.ones((1, 1), jnp.int32)

        def init() -> Any:
            return self._module.init(jax.random.key(0), token, token, method="everything")

        with lenient():
            return jax.eval_shape(init)["params"]

    def hidden(
        self,
        params: Params,
        input_ids: Array,
        attention_mask: Array,
        cache: Cache | None = None,
        adapter: Params | None = None,
    ) -> tuple[Array, Cache | None]:
        """Run all layers but the head: [B, T] to [B, T, H]."""
        if cache is not None and not self._config.causal:
            raise ValueError(
                f"hidden: cache must be None for a {self._name} model, which reads all tokens in "
                f"one pass, got {type(cache).__name__}."
            )
        prefix = _prefix_length(adapter) if self._config.causal else 0
        input_ids, mask = self._check(input_ids, attention_mask, cache, prefix)
        own = {} if adapter is None else {ADAPTER: adapter}

        def run(params: Params) -> Any:
            return self._module.apply({"params": params, **own}, input_ids, mask, cache, prefix)

        with lenient():
            return dequantizing(run)(params)

    def sown(self, params: Params, input_ids: Array, attention_mask: Array) -> Params:
        """Run all layers, and return what interceptors of modules sow into ``"sown"``."""

        def run(params: Params) -> Any:
            return self._module.apply({"params": params}, input_ids, attention_mask, mutable=[SOWN])

        with lenient():
            return dequantizing(run)(params)[1].get(SOWN, {})

    def prefix(self, params: Params, input_ids: Array) -> Params:
        """The keys and values of one row of tokens, [1, n], as the adapter of a prefix has them."""
        cache = self._empty_cache(1, input_ids.shape[1], None)

        def run(params: Params) -> Any:
            ones = jnp.ones_like(input_ids)
            return self._module.apply({"params": params}, input_ids, ones, cache)

        with lenient():
            _, cache = dequantizing(run)(params)
        rows = {new: cache[old][:, 0] for new, old in zip(PREFIX, _CACHED, strict=True)}
        if self._module.scan_layers:
            return {"layers": {"self_attn": rows}}
        return {
            f"layers_{i}": {"self_attn": {name: leaf[i] for name, leaf in rows.items()}}
            for i in range(self._config.num_layers)
        }

    def logits(self, params: Params, hidden: Array, token_ids: Array | None = None) -> Array:
        """Run the head: [..., H] to float32 [..., C]."""
        tokens = None if token_ids is None else jnp.asarray(token_ids)

        def run(params: Params) -> Any:
            return self._module.apply({"params": params}, hidden, tokens, method="logits")

        with lenient():
            return dequantizing(run)(params)

    def init_cache(self, batch: int, length: int, dtype: DTypeLike | None = None) -> Cache:
        """Make an empty cache of ``length`` columns."""
        self._check_length("init_cache", length)
        return self._empty_cache(batch, length, dtype)

    def _empty_cache(self, batch: int, length: int, dtype: DTypeLike | None) -> Cache:
        config = self._config
        shape = (config.num_layers, batch, length, config.num_kv_heads, config.head_dim)
        columns = {name: jnp.zeros(shape, dtype or self._module.dtype) for name in _CACHED}
        return {**columns, "cache_index": jnp.int32(0)}

    def _check(
        self, input_ids: Array, attention_mask: Array, cache: Cache | None, prefix: int
    ) -> tuple[Array, Array]:
        """The ids, and the mask of as many columns as the cache has."""
        input_ids = jnp.asarray(input_ids)
        mask = jnp.asarray(attention_mask).astype(jnp.int32)
        tokens, columns = input_ids.shape[1], mask.shape[1]
        length = tokens if cache is None else cache["cached_key"].shape[2]
        self._check_length("hidden", length + prefix)
        if not tokens <= columns <= length:
            raise ValueError(
                f"hidden: attention_mask must have {tokens} to {length} columns, one for each "
                f"token and for each column of the cache before, got {columns}."
            )
        # Columns that are not written are masked by the order of the tokens.
        return input_ids, jnp.pad(mask, ((0, 0), (0, length - columns)))

    def _check_length(self, function: str, length: int) -> None:
        if not 1 <= length <= self._config.max_length:
            raise ValueError(
                f"{function}: the columns of a row, or of a cache, must number 1 to "
                f"{self._config.max_length} for this {self._name} model, got {length}. "
                "Truncate the text."
            )


def _prefix_length(adapter: Params | None) -> int:
    """The number of an adapter's prefix columns."""
    for path, leaf in jax.tree.leaves_with_path(adapter):
        if path[-1] == jax.tree_util.DictKey(PREFIX[0]):
            return leaf.shape[-3]
    return 0

"""Hidden states, logits and caches, computed by transformers' Flax module of OPT or RoBERTa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from zojax.lm.models._flax_family import FlaxFamily, Path
from zojax.lm.models._language_model import Cache, Params
from zojax.lm.models._layers import ADAPTER
from zojax.lm.models._promotion import lenient
from zojax.lm.models._transformer import SOWN


@dataclass(frozen=True, eq=False)
class FlaxNetwork:
    """The functions of a :class:`~zojax.lm.models.LanguageModel`; its docstring describes them."""

    family: FlaxFamily
    config: Any
    dtype: DTypeLike

    @property
    def max_length(self) -> int:
        """Most columns of a row or a cache."""
        return self.family.max_length(self.config)

    def hidden(
        self,
        params: Params,
        input_ids: Array,
        attention_mask: Array,
        cache: Cache | None = None,
        adapter: Params | None = None,
    ) -> tuple[Array, Cache | None]:
        """Run all layers but the head: [B, T] to [B, T, H]."""
        input_ids = jnp.asarray(input_ids)
        mask = jnp.asarray(attention_mask).astype(jnp.int32)
        tokens, columns = input_ids.shape[1], mask.shape[1]
        length = tokens if cache is None else self._cache_length(cache)
        self._check_length("hidden", length)
        if not tokens <= columns <= length:
            raise ValueError(
                f"hidden: attention_mask must have {tokens} to {length} columns, one for each "
                f"token and for each column of the cache before, got {columns}."
            )
        variables: dict[str, Any] = {"params": params}
        if adapter is not None:
            variables[ADAPTER] = adapter
        with lenient():
            position_ids = self.family.position_ids(self.config, mask)
            if cache is not None:
                variables["cache"] = cache
                written = _leaf(cache, "cache_index")
                position_ids = jax.lax.dynamic_slice_in_dim(position_ids, written, tokens, axis=1)
                # The attention reads the full cache, and masks columns that are not written itself.
                mask = jnp.pad(mask, ((0, 0), (0, length - columns)))
            outputs: Any = self._module().apply(
                variables,
                input_ids,
                mask > 0,
                position_ids,
                method=self.family.states,
                mutable=False if cache is None else ["cache"],
            )
        return (outputs, None) if cache is None else (outputs[0], outputs[1]["cache"])

    def sown(self, params: Params, input_ids: Array, attention_mask: Array) -> Params:
        """Run all layers, and return what interceptors of modules sow into ``"sown"``."""
        mask = jnp.asarray(attention_mask).astype(jnp.int32)
        with lenient():
            _, variables = self._module().apply(
                {"params": params},
                input_ids,
                mask > 0,
                self.family.position_ids(self.config, mask),
                method=self.family.states,
                mutable=[SOWN],
            )
        return variables.get(SOWN, {})

    def logits(self, params: Params, hidden: Array, token_ids: Array | None = None) -> Array:
        """Run the head: [..., H] to float32 [..., C]."""
        family = self.family
        if family.transform is not None:
            with lenient():
                hidden = self._module().apply({"params": params}, hidden, method=family.transform)  # pyright: ignore[reportAssignmentType]
        tied = self.config.tie_word_embeddings
        kernel = _at(params, family.embedding if tied else family.head)
        token_axis = 0 if tied else 1
        if token_ids is not None:
            kernel = jnp.take(kernel, jnp.asarray(token_ids), axis=token_axis)
        # Losses of a zeroth-order step differ in their last digits, so the logits keep the
        # precision of the accumulator.
        logits = jax.lax.dot_general(
            hidden,
            kernel,
            (((hidden.ndim - 1,), (1 - token_axis,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        if family.bias is None:
            return logits
        bias = _at(params, family.bias)
        if token_ids is not None:
            bias = jnp.take(bias, jnp.asarray(token_ids), axis=0)
        return logits + jnp.broadcast_to(bias.astype(jnp.float32), logits.shape)

    def init_cache(self, batch: int, length: int, dtype: DTypeLike | None = None) -> Cache:
        """Make an empty cache of ``length`` columns."""
        self._check_length("init_cache", length)
        module = self._module()
        ids = jnp.ones((batch, length), jnp.int32)

        def init() -> Any:
            variables = module.init(
                jax.random.key(0), ids, ids > 0, ids, True, method=self.family.states
            )
            return variables["cache"]

        with lenient():
            shapes = jax.eval_shape(init)

        def empty(leaf: jax.ShapeDtypeStruct) -> Array:
            floating = jnp.issubdtype(leaf.dtype, jnp.floating)
            return jnp.zeros(leaf.shape, (dtype or self.dtype) if floating else leaf.dtype)

        return jax.tree.map(empty, shapes)

    def _module(self) -> Any:
        return self.family.flax_class().module_class(config=self.config, dtype=self.dtype)

    def _cache_length(self, cache: Cache) -> int:
        if self.family.kind == "masked":
            raise ValueError(
                f"hidden: cache must be None for a {self.config.model_type} model, which reads all "
                f"tokens in one pass, got {type(cache).__name__}."
            )
        return _leaf(cache, "cached_key").shape[1]

    def _check_length(self, function: str, length: int) -> None:
        if not 1 <= length <= self.max_length:
            raise ValueError(
                f"{function}: the columns of a row, or of a cache, must number 1 to "
                f"{self.max_length} for this {self.config.model_type} model, got {length}. "
                "Truncate the text."
            )


def _at(tree: Any, path: Path) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def _leaf(cache: Any, name: str) -> Array:
    """Return the first layer's leaf of this name; its value and shape are equal in all layers."""
    while name not in cache:
        cache = next(iter(cache.values()))
    return cache[name]

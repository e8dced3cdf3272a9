"""Prompt tuning: trainable embeddings of virtual tokens before the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.adapters._adapter import (
    ADAPTER,
    CACHE_INDEX,
    MODEL,
    Adapter,
    LeafPath,
    adapted,
    check_count,
    flat,
    with_ones,
)
from zojax.lm.adapters._modules import Run, around, calls, random_tokens
from zojax.lm.models import Cache, LanguageModel, Params

_TOKEN_EMBEDDINGS = ("embed_tokens", "word_embeddings")


@dataclass(frozen=True)
class VirtualTokens(Adapter):
    """Prompt tuning: trainable embeddings of virtual tokens before those of the text.

    The virtual tokens take the first positions, and the text's positions continue after them. Their
    hidden states are removed from the result, so that callers get those of the text alone.

    Attributes:
      length: n, the number of virtual tokens.
      init: ``"tokens"``, the embeddings of random tokens of the vocabulary, or ``"random"``,
        normal with the standard deviation of the model's embeddings.

    Cost: n times the embedding's width, in float32 whatever the model's dtype; n more tokens in
      each row.

    Raises:
      ValueError: ``length`` < 1, or ``init`` is neither.

    References:
      Lester et al., 2021, arXiv:2104.08691. Zhang et al., 2024, arXiv:2402.11592.
    """

    length: int = 10
    init: Literal["tokens", "random"] = "tokens"

    def __post_init__(self) -> None:
        """Check the settings that need no model."""
        check_count("VirtualTokens", "length", self.length)
        if self.init not in ("tokens", "random"):
            raise ValueError(
                f"VirtualTokens: init must be one of tokens, random, got {self.init!r}."
            )

    def initial(self, model: LanguageModel, key: Array) -> Params:
        table = flat(model.params)[(*_embedding(model), "embedding")]
        if self.init == "tokens":
            rows = table[random_tokens(model, key, self.length)].astype(jnp.float32)
        else:
            shape = (self.length, table.shape[1])
            rows = jax.random.normal(key, shape, jnp.float32) * jnp.std(table.astype(jnp.float32))
        return {"embeddings": rows}

    def wrap(self, model: LanguageModel, own: Params) -> LanguageModel:
        count = self.length
        embedding = _embedding(model)

        def run(params: Params, ids: Array, mask: Array, cache: Cache | None = None) -> Any:
            """Run the model on the virtual tokens and ``ids``; states and cache include both."""
            # The padded ids are placeholders: `embed` does not read them, and positions are
            # computed from the mask.
            ids = jnp.pad(ids, ((0, 0), (count, 0)))

            def embed(embed_text: Run, args: Any, kwargs: Any) -> Array:
                text = embed_text(args[0][:, count:], *args[1:], **kwargs)
                rows = params[ADAPTER]["embeddings"].astype(text.dtype)
                rows = jnp.broadcast_to(rows[None], (text.shape[0], *rows.shape))
                return jnp.concatenate([rows, text], axis=1)

            with around(lambda module: embed if module.path == embedding else None):
                return model.hidden(params[MODEL], ids, with_ones(mask, count), cache)

        def hidden(
            params: Params, input_ids: Array, attention_mask: Array, cache: Cache | None = None
        ) -> tuple[Array, Cache | None]:
            if cache is None:
                states, _ = run(params, input_ids, attention_mask)
                return states[:, count:], None
            # An empty cache first gets the columns of the virtual tokens.
            no_ids = input_ids[:, :0]
            cache = jax.lax.cond(
                _written(cache) == 0,
                lambda cache: run(params, no_ids, no_ids, cache)[1],
                lambda cache: cache,
                cache,
            )
            return model.hidden(params[MODEL], input_ids, with_ones(attention_mask, count), cache)

        functions: dict[str, Any] = {"hidden": hidden, "max_length": model.max_length - count}
        if (empty_cache := model.init_cache) is not None:
            functions["init_cache"] = lambda batch, length, dtype=None: empty_cache(
                batch, count + length, dtype
            )
        return adapted(model, own, **functions)


def _embedding(model: LanguageModel) -> LeafPath:
    """The path of the module that embeds the tokens."""
    from flax import linen as nn

    return next(path for path in calls(model, nn.Embed) if path[-1] in _TOKEN_EMBEDDINGS)


def _written(cache: Cache) -> Array:
    """The number of columns of a cache that are written, int32 []."""
    return next(x for path, x in flat(cache).items() if path[-1] == CACHE_INDEX)

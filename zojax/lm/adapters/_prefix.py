"""Prefix tuning: trainable keys and values before those of the text, in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.adapters._adapter import ADAPTER, MODEL, Adapter, adapted
from zojax.lm.adapters._flax_prefix import flax_prefix, wrap_flax
from zojax.lm.adapters._modules import random_tokens
from zojax.lm.models import Cache, LanguageModel, Params


@dataclass(frozen=True)
class Prefix(Adapter):
    """Prefix tuning: trainable keys and values that every layer attends to, besides the text's.

    They are initialized to the keys and values that the model computes for random tokens of its
    vocabulary, and are trained directly: no network computes them. According to MeZO's Table 17,
    this initialization is 1 to 6 points better than a random one.

    In a causal model the text's positions continue after the prefix. A newly initialized prefix
    therefore computes the same as the model does for the random tokens and the text in one row.
    (MeZO's code does not shift the text's positions, except while it generates.) In a masked model
    the text's positions are not shifted.

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
        run = partial(flax_prefix, model) if model.prefix is None else model.prefix
        start = jax.jit(run)(model.params, ids)
        columns = slice(0, self.length)
        return jax.tree.map(lambda x: x[..., columns, :, :].astype(jnp.float32), start)

    def wrap(self, model: LanguageModel, own: Params) -> LanguageModel:
        if model.prefix is None:
            return wrap_flax(model, own, self.length)

        def hidden(
            params: Params, input_ids: Array, attention_mask: Array, cache: Cache | None = None
        ) -> tuple[Array, Cache | None]:
            # The attention of each layer finds its keys and values among the adapter's variables.
            return model.hidden(
                params[MODEL], input_ids, attention_mask, cache, adapter=params[ADAPTER]
            )

        taken = self.length if model.kind == "causal" else 0
        return adapted(model, own, hidden=hidden, max_length=model.max_length - taken)

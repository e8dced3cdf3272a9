"""LoRA: a trainable product of two low-rank matrices, added to a frozen weight."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.adapters._adapter import (
    ADAPTER,
    MODEL,
    Adapter,
    LeafPath,
    adapted,
    check_count,
    flat,
    nested,
)
from zojax.lm.adapters._modules import Around, around, calls
from zojax.lm.models import Cache, LanguageModel, Params
from zojax.quantized import dequantize

_QUERY_AND_VALUE = ("q_proj", "v_proj", "query", "value")


@dataclass(frozen=True)
class LoRA(Adapter):
    r"""Low-rank adaptation: adds a product of two low-rank matrices to each chosen projection.

    .. math:: y = x W + b + \frac{\alpha}{r}\, (x A) B, \qquad A \in R^{d \times r},
        \; B \in R^{r \times k}

    A is initialized uniformly within :math:`\pm 1/\sqrt d`, as in MeZO's code and LoRA's own
    (Kaiming's rule with a = √5); published values of ``eps`` and of the learning rate assume that
    scale. B is initialized to 0, so that the initial logits equal the model's. The sum is computed
    in float32 and rounded once; W + AB is never materialized.

    The products of scanned layers are stacked as their weights are.

    Attributes:
      rank: r, the number of columns of A and rows of B.
      alpha: α; the product is scaled by α / r.
      targets: Names of the dense modules that get a product, such as ``("q_proj", "v_proj",
        "fc1")``; None means the query and value projections.

    Cost: r·(d + k) parameters for each projection, in float32 whatever the model's dtype, so that
      updates smaller than the model's rounding are not lost. The products take r/d + r/k of a
      projection's FLOPs, in float32.

    Raises:
      ValueError: ``rank`` < 1, ``alpha`` is not positive, or a target is not the name of a dense
        module that computes the hidden states.

    References:
      Hu et al., 2021, arXiv:2106.09685. Malladi et al., 2023, arXiv:2305.17333.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the settings that need no model."""
        check_count("LoRA", "rank", self.rank)
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"LoRA: alpha must be > 0 and finite, got {self.alpha}.")
        if isinstance(self.targets, str) or self.targets == ():
            raise ValueError(
                f"LoRA: targets must be a tuple of names of dense modules, got {self.targets!r}. "
                'Write ("q_proj",).'
            )

    def initial(self, model: LanguageModel, key: Array) -> Params:
        kernels = flat(model.params)
        own: dict[LeafPath, Array] = {}
        for path in self._paths(model):
            *layers, features, outputs = kernels[(*path, "kernel")].shape
            # The key depends on the path, so that the other targets do not change these values, and
            # on the layer, so that the number of layers does not.
            leaf_key = jax.random.fold_in(key, zlib.crc32("/".join(path).encode()))
            own[(*path, "a")] = _uniform(leaf_key, (*layers, features, self.rank))
            own[(*path, "b")] = jnp.zeros((*layers, self.rank, outputs), jnp.float32)
        return nested(own)

    def wrap(self, model: LanguageModel, own: Params) -> LanguageModel:
        def hidden(
            params: Params, input_ids: Array, attention_mask: Array, cache: Cache | None = None
        ) -> tuple[Array, Cache | None]:
            with around(self._product):
                return model.hidden(
                    params[MODEL], input_ids, attention_mask, cache, adapter=params[ADAPTER]
                )

        return adapted(model, own, hidden=hidden)

    def _product(self, module: Any) -> Around | None:
        """Add the product to what a module returns, if the module has one."""
        if not module.has_variable(ADAPTER, "a"):
            return None
        a, b = module.get_variable(ADAPTER, "a"), module.get_variable(ADAPTER, "b")
        return lambda run, args, kwargs: self._add(run(*args, **kwargs), args[0], a, b)

    def merged(self, params: Params) -> Params:
        weights, own = flat(params[MODEL]), flat(params[ADAPTER])
        for path in {path[:-1] for path in own}:
            weight: Any = dequantize(weights[(*path, "kernel")])
            product = own[(*path, "a")] @ own[(*path, "b")]
            total = weight.astype(product.dtype) + self._scale * product
            weights[(*path, "kernel")] = total.astype(weight.dtype)
        return nested(weights)

    def _add(self, y: Array, x: Array, a: Array, b: Array) -> Array:
        product = (x.astype(a.dtype) @ a) @ b
        return (y.astype(product.dtype) + self._scale * product).astype(y.dtype)

    @property
    def _scale(self) -> float:
        return self.alpha / self.rank

    def _paths(self, model: LanguageModel) -> list[LeafPath]:
        from flax import linen as nn

        paths = calls(model, nn.Dense)
        names = {path[-1] for path in paths}
        targets = _QUERY_AND_VALUE if self.targets is None else self.targets
        unknown = set(targets) - names if self.targets is not None else set[str]()
        if unknown or not names & set(targets):
            raise ValueError(
                f"LoRA: targets must be names of the model's dense modules, got "
                f"{sorted(unknown) or self.targets}. There are {', '.join(sorted(names))}."
            )
        return [path for path in paths if path[-1] in targets]


def _uniform(key: Array, shape: tuple[int, ...]) -> Array:
    """A's initial values, float32 [..., d, r], uniform within ±1/√d."""
    *layers, features, rank = shape
    if layers:
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(layers[0]))
        return jax.vmap(lambda layer: _uniform(layer, shape[1:]))(keys)
    bound = 1 / math.sqrt(features)
    return jax.random.uniform(key, (features, rank), jnp.float32, -bound, bound)

"""Whoever wraps a model reaches its layers by flax's interceptors."""

from __future__ import annotations

from typing import Any, Literal

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from sets import IMPLEMENTATIONS

import zojax.lm.models

IDS = np.full((1, 5), 7, np.int32)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("family", ["opt", "roberta"])
def test_every_layer_is_reached_by_its_path(
    write_model: Any, family: str, implementation: Literal["zojax", "transformers"]
):
    folder, _ = write_model(family, tie_word_embeddings=True)
    model = zojax.lm.models.load(folder, implementation=implementation)
    reached: set[tuple[str, ...]] = set()

    def listen(next_fun: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.method_name == "__call__":
            reached.add(context.module.path)
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(listen):
        jax.eval_shape(model.apply, model.params, IDS, np.ones_like(IDS))
    layers = {path[:-1] for path in flatten_dict(model.params)} - {("lm_head",)}
    assert layers <= reached

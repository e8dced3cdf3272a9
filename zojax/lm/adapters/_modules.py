"""Finds the Flax modules that a model calls, and intercepts their calls."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from zojax.lm.adapters._adapter import LeafPath
from zojax.lm.models import LanguageModel

Run = Callable[..., Any]
Around = Callable[[Run, tuple[Any, ...], dict[str, Any]], Any]


@contextmanager
def around(find: Callable[[Any], Around | None]) -> Generator[None]:
    """Replace calls of modules: a context manager.

    If ``find(module)`` returns a function, ``function(call, args, kwargs)`` runs instead of the
    module's ``__call__``. If it returns None, the module is called as usual.
    """
    from flax import linen as nn

    def intercept(run: Run, args: Any, kwargs: Any, context: Any) -> Any:
        instead = find(context.module) if context.method_name == "__call__" else None
        return run(*args, **kwargs) if instead is None else instead(run, args, kwargs)

    with nn.intercept_methods(intercept):
        yield


def calls(model: LanguageModel, kind: type) -> list[LeafPath]:
    """The paths of the modules of a kind that compute the hidden states, in the order of calls."""
    paths: list[LeafPath] = []

    def find(module: Any) -> None:
        if isinstance(module, kind):
            paths.append(module.path)

    token = jnp.ones((1, 1), jnp.int32)
    with around(find):
        jax.eval_shape(lambda params: model.hidden(params, token, token)[0], model.params)
    return list(dict.fromkeys(paths))  # a scanned layer is traced more than once


def random_tokens(model: LanguageModel, key: Array, count: int) -> Array:
    """Sample ids of tokens, int32 [count], uniformly from the vocabulary."""
    size = min(len(model.tokenizer), model.config.vocab_size)
    return jax.random.randint(key, (count,), 0, size)

"""zojax's own decoder as an engine: all members in one loop, over one copy of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zojax.lm.adapters import Adapter, load_adapter
from zojax.lm.decoding import greedy, sample, stop_tokens
from zojax.lm.engines._engine import Completions, Decoding, Prompt, check_prompts, finished
from zojax.lm.models import LanguageModel, load

# Prompts are padded to a multiple of it, so that few lengths are compiled.
_COLUMNS = 16


class ZojaxEngine:
    """Writes completions in this process, with the members of a call in one batch.

    Args:
      model: A causal model, or the folder or name of one, which is loaded in float32.

    Cost: a call compiles at the first use of a number of members and prompts, a length and a
      decoding; then it is one :func:`zojax.lm.decoding.greedy` or ``sample`` of P · B rows, of
      which every product with the weights is shared.

    Raises:
      ValueError: The model writes no text, or has an adapter already.
    """

    def __init__(self, model: LanguageModel | str | Path) -> None:
        if not isinstance(model, LanguageModel):
            model = load(model)
        if model.init_cache is None:
            raise ValueError(f"ZojaxEngine: model must be causal, got a {model.kind} one.")
        self._model = model
        self._programs: dict[Any, Callable[..., Any]] = {}

    def complete(
        self, prompts: Sequence[Prompt], members: Sequence[Path | None], decoding: Decoding
    ) -> Completions:
        check_prompts("ZojaxEngine", prompts)
        groups: dict[Adapter | None, list[int]] = {}
        own: dict[int, Any] = {}
        for place, folder in enumerate(members):
            kind = None
            if folder is not None:
                kind, adapted = load_adapter(self._model, folder)
                own[place] = adapted.params["adapter"]
            groups.setdefault(kind, []).append(place)
        found: Completions = [None] * len(members)
        for kind, places in groups.items():
            if kind is None:
                alone = self._tokens(None, None, prompts, decoding)
                rows = np.broadcast_to(np.asarray(alone), (len(places), *alone.shape))
            else:
                stacked = jax.tree.map(lambda *x: jnp.stack(x), *(own[place] for place in places))
                rows = np.asarray(self._tokens(kind, stacked, prompts, decoding))
            for place, written in zip(places, rows, strict=True):
                found[place] = [self._text(row, decoding) for row in written]
        return found

    def close(self) -> None:
        self._programs.clear()

    def _tokens(
        self, kind: Adapter | None, own: Any, prompts: Sequence[Prompt], decoding: Decoding
    ) -> jax.Array:
        lengths = np.array([len(prompt) for prompt in prompts])
        columns = -(-int(lengths.max()) // _COLUMNS) * _COLUMNS
        columns = min(columns, self._model.max_length - decoding.max_new_tokens + 1)
        if lengths.max() > columns:
            raise ValueError(
                f"ZojaxEngine: a prompt and max_new_tokens must have {self._model.max_length + 1} "
                f"tokens together at most, got {lengths.max()} and {decoding.max_new_tokens}."
            )
        mask = np.arange(columns) < lengths[:, None]
        ids = np.zeros(mask.shape, np.int32)
        ids[mask] = np.concatenate(prompts)
        key = jax.random.key(decoding.seed)
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(len(prompts)))
        # The seed is an argument of the program; the rest of decoding is part of it.
        fixed = kind, replace(decoding, seed=0)
        if fixed not in self._programs:
            self._programs[fixed] = jax.jit(self._program(kind, decoding))
        return self._programs[fixed](self._model.params, own, ids, mask.astype(np.int32), keys)

    def _program(self, kind: Adapter | None, decoding: Decoding) -> Callable[..., jax.Array]:
        options: dict[str, Any] = dict(
            max_new_tokens=decoding.max_new_tokens, stop_tokens=self._stops(decoding)
        )
        sampled = decoding.temperature > 0

        def write(model: LanguageModel, params: Any, ids: Any, mask: Any, keys: Any) -> jax.Array:
            if not sampled:
                return greedy(model, params, ids, mask, **options)
            drawn = dict(keys=keys, temperature=decoding.temperature, top_p=decoding.top_p)
            return sample(model, params, ids, mask, **options, **drawn)

        if kind is None:
            return lambda params, _, *rest: write(self._model, params, *rest)

        def program(params: Any, own: Any, *rest: Any) -> jax.Array:
            def of_member(own: Any) -> jax.Array:
                # Its functions take the tree; the arrays that it is made with are not used.
                adapted = kind.wrap(self._model, own)
                return write(adapted, {"model": params, "adapter": own}, *rest)

            return jax.vmap(of_member)(own)

        return program

    def _stops(self, decoding: Decoding) -> np.ndarray:
        """The tokens at which decoding may end: the end of sequence, and line breaks if asked."""
        tokenizer = self._model.tokenizer
        if "\n" in decoding.stop:
            return stop_tokens(tokenizer)
        end = tokenizer.eos_token_id
        return np.array([] if end is None else [end], np.int32)

    def _text(self, row: np.ndarray, decoding: Decoding) -> str:
        ids = row[row >= 0].tolist()
        text = self._model.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return finished(text, decoding.stop)

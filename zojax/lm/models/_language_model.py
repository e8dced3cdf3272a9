"""A language model as plain parameters and pure functions of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

Params = dict[str, Any]
Cache = dict[str, Any]


class Hidden(Protocol):
    """Hidden states of tokens; see :attr:`LanguageModel.hidden`."""

    def __call__(
        self, params: Params, input_ids: Array, attention_mask: Array, cache: Cache | None = None
    ) -> tuple[Array, Cache | None]: ...


class Logits(Protocol):
    """The head of a language model; see :attr:`LanguageModel.logits`."""

    def __call__(self, params: Params, hidden: Array, token_ids: Array | None = None) -> Array: ...


class InitCache(Protocol):
    """An empty cache; see :attr:`LanguageModel.init_cache`."""

    def __call__(self, batch: int, length: int, dtype: DTypeLike | None = None) -> Cache: ...


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A language model: its parameters, and pure functions that take them as an argument.

    The functions run flax modules by ``module.apply``, so ``flax.linen.intercept_methods`` around
    a call reaches every layer. They set JAX's promotion rules for transformers' code themselves.

    Attributes:
      params: Nested dict of arrays, all of the requested dtype. A tied head has no leaf of its own.
      config: transformers' configuration, as it was read.
      tokenizer: transformers' tokenizer.
      kind: ``"causal"``, which predicts the next token, or ``"masked"``, which predicts the token
        at each ``<mask>``.
      hidden: ``(params, input_ids, attention_mask, cache=None) -> (hidden, cache)``: all layers
        except the head. Takes int32 [B, T] ids and mask (1 for a token, 0 for padding on the
        right); returns [B, T, H] in the model's dtype, and ``None``. With a ``cache`` of which P
        columns are written, the mask has at least P + T columns and at most the cache's length,
        columns beyond P + T are ignored, position ids continue after the P columns, and the
        returned cache has P + T columns written.
      logits: ``(params, hidden, token_ids=None) -> logits``: applies the head to [..., H] for int32
        [C] tokens (all V if None); float32 [..., C].
      init_cache: ``(batch, length, dtype=None) -> cache``, an empty cache of ``length`` columns;
        None for masked models. The dtype must be the model's, which is the default.
      write: ``(params, folder) -> None``, used by :meth:`save`, which also writes the tokenizer.
      max_length: Most columns of a row or a cache.
    """

    params: Params
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    kind: Literal["causal", "masked"]
    hidden: Hidden
    logits: Logits
    init_cache: InitCache | None
    write: Callable[[Params, Path], None]
    max_length: int

    def apply(self, params: Params, input_ids: Array, attention_mask: Array) -> Array:
        """Compute the logits of every token at every position.

        Args:
          params: A tree shaped like :attr:`params`.
          input_ids: int32 [B, T].
          attention_mask: int32 [B, T]: 1 for a token, 0 for padding on the right.

        Returns:
          float32 [B, T, V].

        Cost: one forward pass, and B · T · V logits in memory; :meth:`logits_at` needs less.
        """
        hidden, _ = self.hidden(params, input_ids, attention_mask)
        return self.logits(params, hidden)

    def logits_at(
        self,
        params: Params,
        input_ids: Array,
        attention_mask: Array,
        positions: Array,
        token_ids: Array | None = None,
    ) -> Array:
        """Compute the logits of some tokens at some positions.

        Args:
          params: A tree shaped like :attr:`params`.
          input_ids: int32 [B, T].
          attention_mask: int32 [B, T]: 1 for a token, 0 for padding on the right.
          positions: int32 [B, P]. At each of them, a causal model predicts the token of the next
            position, and a masked model the token of the same position.
          token_ids: int32 [C]; all V tokens if None.

        Returns:
          float32 [B, P, C].

        Cost: one forward pass, with the head at P positions for C tokens instead of T and V.
        """
        hidden, _ = self.hidden(params, input_ids, attention_mask)
        hidden = jnp.take_along_axis(hidden, jnp.asarray(positions)[:, :, None], axis=1)
        return self.logits(params, hidden, token_ids)

    def save(self, params: Params, folder: str | Path) -> None:
        """Write ``params`` with configuration and tokenizer in transformers' folder layout.

        The family's Flax class in transformers and :func:`zojax.lm.models.load` can read the
        folder. All weights go into one file, ``model.safetensors``.

        Args:
          params: A tree shaped like :attr:`params`.
          folder: Made if it does not exist; files of the same names are replaced.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.write(params, folder)
        self.tokenizer.save_pretrained(folder)

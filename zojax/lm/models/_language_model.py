"""A language model as plain parameters and pure functions of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from zojax.quantized import QuantizedArray, is_quantized

if TYPE_CHECKING:
    from zojax.lm.models._tokenizer import AnyTokenizer

Params = dict[str, Any]
Cache = dict[str, Any]


class Hidden(Protocol):
    """Hidden states of tokens; see :attr:`LanguageModel.hidden`."""

    def __call__(
        self,
        params: Params,
        input_ids: Array,
        attention_mask: Array,
        cache: Cache | None = None,
        adapter: Params | None = None,
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
    a call reaches every layer. They set the promotion rules of JAX that Flax needs themselves.

    Attributes:
      params: Nested dict of arrays, all of the requested dtype. A tied head has no leaf of its own.
      config: The content of ``config.json``, whose settings are attributes; transformers' own for
        its Flax classes.
      tokenizer: A :class:`Tokenizer`, or transformers' own for its Flax classes.
      kind: ``"causal"``, which predicts the next token, or ``"masked"``, which predicts the token
        at each ``<mask>``.
      hidden: ``(params, input_ids, attention_mask, cache=None, adapter=None) -> (hidden, cache)``:
        all layers except the head. Takes int32 [B, T] ids and mask (1 for a token, 0 for padding on
        the right); returns [B, T, H] in the model's dtype, and ``None``. With a ``cache`` of which
        P columns are written, the mask has at least P + T columns and at most the cache's length,
        columns beyond P + T are ignored, position ids continue after the P columns, and the
        returned cache has P + T columns written. ``adapter`` has variables of modules by their
        paths, the Flax collection ``"adapter"``, stacked as the layers' parameters are.
      logits: ``(params, hidden, token_ids=None) -> logits``: applies the head to [..., H] for int32
        [C] tokens (all V if None); float32 [..., C].
      sown: ``(params, input_ids, attention_mask) -> tree``: runs all layers, and returns what
        interceptors of modules sow into the collection ``"sown"``.
      init_cache: ``(batch, length, dtype=None) -> cache``, an empty cache of ``length`` columns;
        None for masked models. The dtype must be the model's, which is the default.
      prefix: ``(params, input_ids) -> adapter``: each layer's keys and values of one row of tokens,
        int32 [1, n], as variables of its attention; None for transformers' Flax classes.
      write: ``(params, folder) -> None``, used by :meth:`save`, which also writes the tokenizer.
      max_length: Most columns of a row or a cache.
      module_names: ``(path, layers) -> [(name, layer)]``: the names of a module in transformers'
        PyTorch model, one for each layer of a stacked one.
      source: The folder or the hub name that the model was loaded from.
      labels: The names of the C classes that ``scores`` or ``bias`` is for; empty without either.
      scores: ``(params, hidden) -> scores``: a head of classes in the place of the
        language-modelling head, applied to [..., H]; float32 [..., C]. None without such a head.
      bias: ``params -> bias``, float32 [C]: what is added to the scores of the classes' label
        words. None without one.
    """

    params: Params
    config: Any
    tokenizer: AnyTokenizer
    kind: Literal["causal", "masked"]
    hidden: Hidden
    logits: Logits
    sown: Callable[[Params, Array, Array], Params]
    init_cache: InitCache | None
    prefix: Callable[[Params, Array], Params] | None
    write: Callable[[Params, Path], None]
    max_length: int
    module_names: Callable[[tuple[str, ...], int], list[tuple[str, int | None]]]
    source: str
    labels: tuple[str, ...] = ()
    scores: Callable[[Params, Array], Array] | None = None
    bias: Callable[[Params], Array] | None = None

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
        """Write ``params`` with configuration and tokenizer in the format of PyTorch models.

        transformers 4 and 5, everything that reads their folders, and :func:`load` can read it.
        Weights go into ``model.safetensors``, or shards of at most 5 GB with an index.

        Quantized weights are written as the arrays that they stand for, in their scales' dtype.

        Args:
          params: A tree shaped like :attr:`params`.
          folder: Made if it does not exist; files of the same names are replaced.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # A layer's after the other's into host memory: the device may have no room for all.
        whole: Any = jax.tree.map(
            lambda leaf: _on_host(leaf) if is_quantized(leaf) else leaf,
            params,
            is_leaf=is_quantized,
        )
        self.write(whole, folder)
        self.tokenizer.save_pretrained(folder)


def _on_host(weight: QuantizedArray) -> np.ndarray:
    layers = [np.asarray(_dequantized(layer)) for layer in weight.layers()]
    return layers[0] if layers[0].shape == weight.shape else np.stack(layers)


_dequantized = jax.jit(QuantizedArray.dequantized)

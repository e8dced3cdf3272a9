"""A causal language model as plain parameters and pure functions of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jax import Array

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

Params = dict[str, Any]


class LogitsAt(Protocol):
    """Logits at some positions of some tokens; see :attr:`LanguageModel.logits_at`."""

    def __call__(
        self,
        params: Params,
        input_ids: Array,
        attention_mask: Array,
        positions: Array,
        token_ids: Array | None = None,
    ) -> Array: ...


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model: its parameters, and pure functions that take them as an argument.

    Attributes:
      params: Nested dict of arrays, all of the dtype asked for.
      config: transformers' configuration.
      tokenizer: transformers' tokenizer.
      apply: ``(params, input_ids, attention_mask) -> logits``: int32 [B, T] ids and mask (1 for a
        token, 0 for padding on the right) to [B, T, V] logits in the model's dtype.
      logits_at: ``(params, input_ids, attention_mask, positions, token_ids=None) -> logits``:
        the same at int32 [B, P] positions for int32 [C] tokens (all V when None), float32
        [B, P, C]. The LM head touches nothing else, so it costs P · C instead of T · V rows.
      write: ``(params, folder) -> None``; call :meth:`save`.
    """

    params: Params
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    apply: Callable[[Params, Array, Array], Array]
    logits_at: LogitsAt
    write: Callable[[Params, Path], None]

    def save(self, params: Params, folder: str | Path) -> None:
        """Write ``params`` with configuration and tokenizer in transformers' folder layout.

        Both ``FlaxAutoModelForCausalLM.from_pretrained(folder)`` and :func:`zojax.models.load` read
        it. The weights go into ``model.safetensors``.

        Args:
          params: A tree shaped like :attr:`params`.
          folder: Made where it is missing; files of the same name are replaced.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.write(params, folder)
        self.tokenizer.save_pretrained(folder)

"""The protocol of engines, and how they decode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

Prompt: TypeAlias = Sequence[int]
"""The tokens of a prompt, special ones too: every engine reads the same."""

Completions: TypeAlias = list[list[str] | None]
"""For each member the text that follows each prompt; None for a member that failed."""


@dataclass(frozen=True)
class Decoding:
    """How completions are written; the same for all members of a step.

    Attributes:
      max_new_tokens: Most tokens of a completion; the end of sequence may end it earlier.
      temperature: 0 for the most likely tokens; otherwise they are drawn, by noise that depends on
        ``seed`` and on the place of the prompt, and not on the member.
      top_p: Draw from the likeliest tokens that have this probability together.
      stop: Texts at which a completion ends; they are no part of it.
      seed: Of that noise: the number of the step, say.

    Raises:
      TypeError: ``stop`` is a text.
      ValueError: A number is out of range, or a text of ``stop`` is empty.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.max_new_tokens < 1:
            raise ValueError(f"Decoding: max_new_tokens must be >= 1, got {self.max_new_tokens}.")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(
                f"Decoding: temperature must be >= 0 and finite, got {self.temperature}."
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"Decoding: top_p must lie within (0, 1], got {self.top_p}.")
        if self.seed < 0:
            raise ValueError(f"Decoding: seed must be >= 0, got {self.seed}.")
        if isinstance(self.stop, str):
            raise TypeError(f"Decoding: stop must be a tuple of texts, got {self.stop!r}.")
        if not all(self.stop):
            raise ValueError(f"Decoding: stop must have no empty text, got {self.stop}.")


class Engine(Protocol):
    """What writes completions: it holds a model, and takes adapters in peft's format."""

    def complete(
        self, prompts: Sequence[Prompt], members: Sequence[Path | None], decoding: Decoding
    ) -> Completions:
        """Write what follows each prompt, with the model under each member's adapter.

        Args:
          prompts: B of them.
          members: Folders with ``adapter_config.json`` and ``adapter_model.safetensors``, P of
            them; None is the model without an adapter.
          decoding: How.

        Returns:
          P lists of B texts, without special tokens and white space at both ends; None for a member
          that the engine could not serve.

        Raises:
          EngineError: No member could be served, or none ever could.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


def check_prompts(where: str, prompts: Sequence[Prompt]) -> None:
    """Refuse texts, and prompts without tokens.

    Raises:
      TypeError: A prompt is a text.
      ValueError: There is no prompt, or one without tokens.
    """
    if isinstance(prompts, str) or any(isinstance(prompt, str) for prompt in prompts):
        raise TypeError(
            f"{where}: prompts must be lists of token ids, got a text. Write "
            f'model.tokenizer(texts)["input_ids"].'
        )
    if not prompts or not all(map(len, prompts)):
        raise ValueError(f"{where}: prompts must be one at least, each of one token at least.")


def finished(text: str, stop: Sequence[str]) -> str:
    """A completion up to the first text that stops it, without white space at both ends."""
    ends = [place for each in stop if (place := text.find(each)) >= 0]
    return text[: min(ends)].strip() if ends else text.strip()

"""Prompts: a template around the text, and one label word for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TEXT, _LABEL = "{text}", "{label}"


@dataclass(frozen=True)
class Prompt:
    """A template and its label words.

    Attributes:
      template: Has ``{text}`` once and ends in ``{label}``.
      label_words: What stands for each class in ``{label}``; class 0 first.

    Raises:
      ValueError: The template lacks its two fields, or there are fewer than two distinct words.
    """

    template: str = "{text} It was {label}"
    label_words: tuple[str, ...] = ("terrible", "great")

    def __post_init__(self) -> None:
        """Check both attributes."""
        if self.template.count(_TEXT) != 1 or self.template.count(_LABEL) != 1:
            raise ValueError(
                "Prompt: template must have {text} and {label} once each, got "
                f"{self.template!r}. Write it like '{{text}} It was {{label}}'."
            )
        if not self.template.endswith(_LABEL):
            raise ValueError(
                "Prompt: template must end in {label}, as a causal model reads from left to "
                f"right, got {self.template!r}."
            )
        words = [word.strip() for word in self.label_words]
        if len(words) < 2 or len(set(words)) < len(words) or not all(words):
            raise ValueError(
                f"Prompt: label_words must be two or more distinct words, got {self.label_words!r}."
            )


@dataclass(frozen=True)
class PromptTokens:
    """A :class:`Prompt` in a tokenizer's tokens; made by :func:`tokenize`.

    Attributes:
      label_ids: int32 [C, L]: each class's label word, filled up with 0 on the right.
      label_mask: float32 [C, L]: 1 for a token of the word.
    """

    label_ids: np.ndarray
    label_mask: np.ndarray
    _prompt: Prompt
    _tokenizer: PreTrainedTokenizerBase
    _max_length: int

    @property
    def num_classes(self) -> int:
        """How many label words there are."""
        return self.label_ids.shape[0]

    @property
    def one_token(self) -> bool:
        """Whether every label word is a single token."""
        return self.label_ids.shape[1] == 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise prompts without their label words; over-long texts lose their end.

        The pieces of the template are tokenised apart from the text, so that truncation takes
        whole tokens of the text and leaves the template alone.
        """
        before, space, between, _ = _pieces(self._prompt.template)
        first, last = _token_ids(self._tokenizer, [before, between])
        if self._tokenizer.bos_token_id is not None:
            first = [cast("int", self._tokenizer.bos_token_id), *first]
        room = self._max_length - len(first) - len(last) - self.label_ids.shape[1]
        if room < 1:
            raise ValueError(
                f"tokenize: max_length must leave room for a token of text beside the template's "
                f"{self._max_length - room}, got {self._max_length}. Raise it, or shorten the "
                "template."
            )
        bodies = _token_ids(self._tokenizer, [space + text.strip() for text in texts])
        return [[*first, *body[:room], *last] for body in bodies]


def tokenize(prompt: Prompt, tokenizer: PreTrainedTokenizerBase, max_length: int) -> PromptTokens:
    """Tokenise a prompt's label words, and keep what encodes texts.

    Args:
      prompt: Template and label words.
      tokenizer: transformers' tokenizer; its beginning-of-sequence token, if any, comes first.
      max_length: Most tokens of a prompt with its label word.

    Raises:
      ValueError: Two label words have the same tokens.
    """
    *_, space = _pieces(prompt.template)
    words = _token_ids(tokenizer, [space + word.strip() for word in prompt.label_words])
    if len({tuple(ids) for ids in words}) < len(words):
        raise ValueError(
            f"tokenize: label_words must have distinct tokens, got {prompt.label_words!r} as "
            f"{words}. Choose words that this model's tokenizer tells apart."
        )
    longest = max(map(len, words))
    ids = np.array([word + [0] * (longest - len(word)) for word in words], np.int32)
    mask = np.array([[i < len(word) for i in range(longest)] for word in words], np.float32)
    return PromptTokens(ids, mask, prompt, tokenizer, max_length)


def _pieces(template: str) -> tuple[str, str, str, str]:
    """Split into what stands before the text, its space, what is between, and the label's space.

    Tokenizers join a space with the word after it, so each space goes to the piece that follows.
    """
    before, between = template.removesuffix(_LABEL).split(_TEXT)
    first, second = before.rstrip(), between.rstrip()
    return first, before[len(first) :], second, between[len(second) :]


def _token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    encoding = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    return cast("list[list[int]]", encoding["input_ids"])

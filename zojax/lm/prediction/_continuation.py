"""What a run on chats, instructions or plain text writes after a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import jax
import numpy as np

from zojax.lm.decoding import greedy
from zojax.lm.models import LanguageModel, Params
from zojax.lm.prediction._in_batches import InBatches
from zojax.lm.processes import Spread
from zojax.lm.sequences import (
    ChatError,
    Messages,
    SequenceSet,
    SequenceTokens,
    TokenText,
    answer_stops,
    answer_text,
)
from zojax.lm.tasks import Batch

Prompt: TypeAlias = str | Messages
"""A text to go on with; for a run on chats the user's message, or all messages so far."""

MAX_NEW_TOKENS = 128


class Continuations:
    """Writes on after prompts, always with the most likely token.

    Args:
      model: The tuned model.
      tokens: How the run's texts become tokens.
      announce: Called with a line that says what is being compiled.
      spread: The devices over which a batch's prompts are distributed.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokens: SequenceTokens,
        announce: Callable[[str], None],
        spread: Spread,
    ) -> None:
        self._model, self._tokens = model, tokens
        self._announce, self._spread = announce, spread
        self._stops = answer_stops(model.tokenizer, tokens)
        self._programs: dict[int, InBatches[TokenText]] = {}  # by max_new_tokens

    def each(
        self, prompts: Iterable[Prompt | None], max_new_tokens: int, batch_size: int
    ) -> Iterator[str | None]:
        """Yield what follows each prompt; None for None.

        Raises:
          ValueError: ``max_new_tokens`` or a prompt is wrong, or both are more than the model has
            positions for.
        """
        if not 1 <= max_new_tokens < self._model.max_length:
            raise ValueError(
                f"generate: max_new_tokens must lie within 1 … {self._model.max_length - 1}, for "
                f"the model has {self._model.max_length} positions, got {max_new_tokens}."
            )
        if max_new_tokens not in self._programs:
            self._programs[max_new_tokens] = self._program(max_new_tokens)
        rows = (
            None if prompt is None else self._row(place, prompt, max_new_tokens)
            for place, prompt in enumerate(prompts)
        )
        for found in self._programs[max_new_tokens].stream(rows, batch_size):
            tokenizer = self._model.tokenizer
            yield None if found is None else answer_text(tokenizer, self._tokens, found[0])

    def _program(self, max_new_tokens: int) -> InBatches[TokenText]:
        def write(params: Params, batch: Batch) -> tuple[jax.Array, ...]:
            written = greedy(
                self._model,
                params,
                batch.input_ids,
                batch.attention_mask,
                max_new_tokens=max_new_tokens,
                stop_tokens=self._stops,
            )
            return (written,)

        return InBatches(
            write,
            "greedy decoding",
            params=self._model.params,
            prompts_of=_as_set,
            longest=self._model.max_length - max_new_tokens,
            view="prompt",
            announce=self._announce,
            spread=self._spread,
        )

    def _row(self, place: int, prompt: Prompt, max_new_tokens: int) -> TokenText:
        ids = self._tokens.encode_prompt(self._written(place, prompt))
        room = self._model.max_length - max_new_tokens
        if not 0 < len(ids) <= room:
            raise ValueError(
                f"generate: prompt {place} must have 1 … {room} tokens, for the model has "
                f"{self._model.max_length} positions and writes up to {max_new_tokens}, got "
                f"{len(ids)}. Shorten it, or lower max_new_tokens (--max-new-tokens)."
            )
        return TokenText(ids, np.zeros(len(ids), bool))

    def _written(self, place: int, prompt: Prompt) -> str:
        """The text of a prompt, as the model read it in training up to an answer."""
        if isinstance(prompt, str):
            if not prompt.strip():
                raise ValueError(f"generate: prompt {place} must not be blank, got {prompt!r}.")
            messages: Messages = [{"role": "user", "content": prompt}]
        else:
            messages = _checked(place, prompt)
        template = self._tokens.template
        if template is None:
            if isinstance(prompt, str):
                return prompt
            raise ValueError(
                f"generate: prompt {place} must be a string for a run on rows of kind "
                f"{self._tokens.kind}, got messages. Only runs on chats take them."
            )
        try:
            return template.render(messages, add_generation_prompt=True)
        except ChatError as error:
            raise ValueError(f"generate: prompt {place}: {error}.") from error


def _checked(place: int, prompt: object) -> Messages:
    """The messages of a prompt."""
    if isinstance(prompt, Sequence) and prompt:
        messages = cast("Sequence[object]", prompt)
        if all(isinstance(each, Mapping) and {"role", "content"} <= {*each} for each in messages):
            return cast("Messages", prompt)
    raise ValueError(
        f"generate: prompt {place} must be a string, or a list of messages, each a dict with role "
        f"and content, got {prompt!r}."
    )


def _as_set(rows: Sequence[TokenText]) -> SequenceSet:
    return SequenceSet(tuple(rows), tuple(rows))

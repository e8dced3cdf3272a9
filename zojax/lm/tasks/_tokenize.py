"""From a task to a prompt in a model's tokens, and solved examples before the prompt."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from zojax.lm.tasks._checks import check_ids
from zojax.lm.tasks._example import Example
from zojax.lm.tasks._pieces import Pieces
from zojax.lm.tasks._task import ModelKind, Task
from zojax.lm.tasks._template import fields_of, render
from zojax.lm.tasks._tokens import PromptTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenize(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    kind: ModelKind = "causal",
    template: bool = True,
    vocab_size: int | None = None,
) -> PromptTokens:
    """Tokenise a task's label words, and keep what encodes examples.

    Args:
      task: Template and label words.
      tokenizer: transformers' tokenizer. Its beginning-of-sequence token, if any, comes first; for
        a masked model, its end-of-sequence token comes last.
      max_length: Most tokens of a prompt with the label's.
      kind: Of the model that reads the prompts.
      template: False leaves the template's words out: the fields, then the label word.
      vocab_size: Tokens that the model knows, ``model.config.vocab_size``: others are refused here
        and in :meth:`PromptTokens.encode`. On a device they would silently be read as another.

    Raises:
      ValueError: The task has no prompt for this kind of model, the tokenizer has no mask token,
        two label words have the same tokens, or one is unknown to the model.
    """
    text, words = task.prompt(kind, template=template)
    masked = kind == "masked"
    begin, end, mask_id = (
        cast("int | None", token)
        for token in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.mask_token_id)
    )
    if masked and mask_id is None:
        raise ValueError(
            "tokenize: a masked model's tokenizer must have a mask token, got "
            f"{type(tokenizer).__name__}. Take the tokenizer of the model."
        )
    pieces = Pieces(tokenizer)
    label_ids, label_mask = _label_words(text, words, pieces)
    check_ids(label_ids.reshape(-1).tolist(), vocab_size, "the label words")
    return PromptTokens(
        task=task,
        kind=kind,
        max_length=max_length,
        label_ids=label_ids,
        label_mask=label_mask,
        demonstrations=(),
        row_length=max_length,
        vocab_size=vocab_size,
        _template=text,
        _pieces=pieces,
        _ends=(() if begin is None else (begin,), (end,) if masked and end is not None else ()),
        _mask_id=mask_id or 0,
    )


def in_context(
    tokens: PromptTokens,
    train: Sequence[Example],
    max_length: int,
    *,
    count: int = 32,
    seed: int = 0,
) -> PromptTokens:
    """Put solved examples before each prompt ("in-context learning"), a blank line after each.

    Args:
      tokens: The prompt; its ``max_length`` bounds each example, solved or not.
      train: Where the demonstrations are drawn from: classes take turns, so that any number of
        them is balanced; choices and answers have no classes.
      max_length: Most tokens of a whole row. Each prompt takes as many demonstrations as fit.
      count: Demonstrations at most; MeZO takes 32.
      seed: Decides the draw and the order.

    Returns:
      Tokens that encode prompts with their demonstrations. They cost no training; a forward pass
      costs what rows of ``max_length`` tokens cost.

    Raises:
      ValueError: The model is masked, ``count`` < 1, or, in :meth:`PromptTokens.encode`, no
        demonstration fits before a prompt.
    """
    if tokens.kind == "masked":
        raise ValueError(
            "in_context: the model must be causal, as a masked model does not learn from a "
            f"context, got a prompt of {tokens.task.name} for a masked model."
        )
    if count < 1 or not train:
        raise ValueError(
            f"in_context: count must be >= 1 and train not empty, got {count} and {len(train)}."
        )
    drawn = _in_turns(train, count, seed, by_class=tokens.num_classes > 0)
    return dataclasses.replace(
        tokens, demonstrations=tuple(tokens.solved(drawn)), row_length=max_length
    )


def _in_turns(
    examples: Sequence[Example], count: int, seed: int, *, by_class: bool
) -> list[Example]:
    """Draw without replacement, a class at a time in a shuffled order of classes."""
    rng = np.random.default_rng(seed)
    shuffled = [examples[i] for i in rng.permutation(len(examples))]
    classes: dict[int, list[Example]] = {}
    for example in shuffled:
        classes.setdefault(example.label if by_class else 0, []).append(example)
    rounds = itertools.zip_longest(*classes.values())
    drawn: list[Example] = []
    for members in rounds:
        present = [example for example in members if example is not None]
        drawn += [present[i] for i in rng.permutation(len(present))]
    return drawn[:count]


def _label_words(
    template: str, words: tuple[str, ...], pieces: Pieces
) -> tuple[np.ndarray, np.ndarray]:
    """Return the words' ids and mask, [C, L], as they stand in the template."""
    chunks = render(template, dict.fromkeys(fields_of(template), "x"), None)
    place = [chunk.kind for chunk in chunks].index("label")
    space = chunks[place].text
    first = not any(chunk.text for chunk in chunks[:place])
    ids = pieces.encode([(space + word.strip(), first) for word in words])
    if len({tuple(row) for row in ids}) < len(ids):
        raise ValueError(
            f"tokenize: label_words must have distinct tokens, got {words!r} as {ids}. Choose "
            "words that this model's tokenizer tells apart."
        )
    longest = max(map(len, ids), default=0)
    filled = np.array([row + [0] * (longest - len(row)) for row in ids], np.int32)
    mask = np.array([[i < len(row) for i in range(longest)] for row in ids], np.float32)
    return filled.reshape(len(ids), longest), mask.reshape(len(ids), longest)

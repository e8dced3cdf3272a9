"""Tokenises a task's prompt for a model, optionally with solved examples before it."""

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
    from zojax.lm.models import AnyTokenizer


def tokenize(
    task: Task,
    tokenizer: AnyTokenizer,
    max_length: int,
    *,
    kind: ModelKind = "causal",
    template: bool = True,
    vocab_size: int | None = None,
) -> PromptTokens:
    """Tokenise a task's label words, and return the object that encodes its examples.

    Args:
      task: The task, with its template and label words.
      tokenizer: The model's tokenizer. Rows begin with its beginning-of-sequence token, if it
        has one; rows for a masked model end with its end-of-sequence token.
      max_length: Most tokens of a prompt, those of the label included.
      kind: The kind of model that reads the prompts.
      template: False leaves the template's words out: only the fields and the label word remain.
      vocab_size: The model's number of tokens, ``model.config.vocab_size``. Larger ids are refused
        here and in :meth:`PromptTokens.encode`; a device would silently use another token's
        embedding.

    Raises:
      ValueError: The task has no prompt for this kind of model, the tokenizer has no mask token,
        two label words have the same tokens, or the model does not have a label word's token.
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
    """Put solved examples before each prompt ("in-context learning"), each with a blank line.

    Args:
      tokens: The prompt; its ``max_length`` limits each example, whether solved or not.
      train: The examples from which demonstrations are sampled. Classes alternate, so that the
        demonstrations are balanced for any ``count``; tasks without classes sample freely.
      max_length: Most tokens of a row, demonstrations included. Each prompt gets as many
        demonstrations as fit.
      count: Most demonstrations; MeZO uses 32.
      seed: Determines the sample and its order.

    Returns:
      Tokens that encode prompts with their demonstrations.

    Cost: no training; a forward pass reads rows of up to ``max_length`` tokens.

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
    demonstrations = _sample(train, count, seed, by_class=tokens.num_classes > 0)
    return dataclasses.replace(
        tokens, demonstrations=tuple(tokens.solved(demonstrations)), row_length=max_length
    )


def _sample(examples: Sequence[Example], count: int, seed: int, *, by_class: bool) -> list[Example]:
    """Sample without replacement; each round takes one example of every class, in random order."""
    rng = np.random.default_rng(seed)
    shuffled = [examples[i] for i in rng.permutation(len(examples))]
    classes: dict[int, list[Example]] = {}
    for example in shuffled:
        classes.setdefault(example.label if by_class else 0, []).append(example)
    rounds = itertools.zip_longest(*classes.values())
    sample: list[Example] = []
    for members in rounds:
        present = [example for example in members if example is not None]
        sample += [present[i] for i in rng.permutation(len(present))]
    return sample[:count]


def _label_words(
    template: str, words: tuple[str, ...], pieces: Pieces
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids and the mask, both [C, L], that the words have in the template's place."""
    chunks = render(template, dict.fromkeys(fields_of(template), "x"), None)
    place = [chunk.kind for chunk in chunks].index("label")
    space = chunks[place].text
    first = not any(chunk.text for chunk in chunks[:place])
    ids = pieces.encode([(space + word.strip(), first) for word in words])
    if len({tuple(row) for row in ids}) < len(ids):
        raise ValueError(
            f"tokenize: label_words must have distinct tokens, got {words!r} as {ids}. Choose "
            "words that this model's tokenizer tells apart (--label-words)."
        )
    longest = max(map(len, ids), default=0)
    filled = np.array([row + [0] * (longest - len(row)) for row in ids], np.int32)
    mask = np.array([[i < len(row) for i in range(longest)] for row in ids], np.float32)
    return filled.reshape(len(ids), longest), mask.reshape(len(ids), longest)

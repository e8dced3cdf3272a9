"""What answers the examples of a task: the program of its kind, in batches."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from zojax.lm.models import LanguageModel, Params
from zojax.lm.prediction._in_batches import InBatches
from zojax.lm.processes import Spread
from zojax.lm.tasks import (
    Batch,
    Classification,
    Example,
    Generation,
    PromptSet,
    PromptTokens,
    objective,
)


def batches_of(
    model: LanguageModel,
    tokens: PromptTokens,
    announce: Callable[[str], None],
    spread: Spread,
) -> InBatches[Example] | None:
    """Return what chooses a class, or writes an answer; None for a task of multiple choice.

    A program is compiled when its first batch comes.
    """
    task = objective(model, tokens)
    batches = functools.partial(
        InBatches[Example],
        params=model.params,
        prompts_of=functools.partial(PromptSet.of, tokens=tokens),
        announce=announce,
        spread=spread,
    )
    longest = tokens.max_length
    if isinstance(task, Classification):
        choose = functools.partial(_choose, task)
        return batches(choose, "the forward pass", longest=longest, view=task.view)
    if isinstance(task, Generation):
        write = functools.partial(_write, task)
        longest -= tokens.task.max_new_tokens
        return batches(write, "greedy decoding", longest=longest, view="prompt")
    return None


def _choose(task: Classification, params: Params, batch: Batch) -> tuple[jax.Array, ...]:
    scores = task.scores(params, batch)
    # The choice is that of the evaluations. Probabilities are rounded, so that two may be largest.
    return jnp.argmax(scores, axis=1).astype(jnp.int32), jax.nn.softmax(scores)


def _write(task: Generation, params: Params, batch: Batch) -> tuple[jax.Array, ...]:
    return (task.write(params, batch),)

"""Makes the batches and the loss of a run from its configuration."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zojax.lm.models import LanguageModel
from zojax.lm.tasks import (
    BatchLoss,
    Example,
    Generation,
    ModelKind,
    Objective,
    PromptSet,
    PromptTokens,
    Sizes,
    Task,
    View,
    bucket_lengths,
    decoding_batches,
    evaluation_batches,
    load_splits,
    load_task,
    negative_accuracy,
    negative_f1,
    objective,
    tokenize,
)
from zojax.lm.training._config import DataConfig, FinetuneConfig, ObjectiveName
from zojax.lm.training._evaluation import Measured


@dataclass(frozen=True)
class Data:
    """The data of a run, for the loop and the evaluations.

    Attributes:
      task: Scores batches, and writes answers if the task is one of generation.
      loss: What a step minimizes: ``(params, batch) -> float32 []``.
      view: Which rows of an example ``loss`` reads.
      train: The training examples.
      lengths: Padded lengths of the training batches, in tokens.
      dev: All dev examples.
      test: All test examples.
    """

    task: Objective
    loss: BatchLoss
    view: View
    train: PromptSet
    lengths: tuple[int, ...]
    dev: Measured
    test: Measured


def task_of(config: DataConfig, kind: ModelKind) -> Task:
    """Return the task of a configuration, with its prompt for a kind of model.

    Raises:
      FileNotFoundError: The task's TOML file does not exist.
      ValueError: No task has that name, or the template or the label words do not fit the task.
    """
    if config.task is None and config.train is not None:
        # With the user's own files, all rows are used unless a size is given.
        task = dataclasses.replace(load_task("rotten-tomatoes"), sizes=Sizes(train=sys.maxsize))
    else:
        task = load_task(config.task or "rotten-tomatoes")
    sizes = {"train": config.train_size, "dev": config.dev_size, "test": config.test_size}
    given = {name: size for name, size in sizes.items() if size is not None}
    changes: dict[str, Any] = {"sizes": task.sizes._replace(**given)}
    if config.label_words is not None:
        changes |= {"label_words": config.label_words, "masked_label_words": (), "label_names": ()}
    if config.label_names is not None:
        changes["label_names"] = config.label_names
    if config.template is not None:
        changes["template" if kind == "causal" else "masked_template"] = config.template
    return dataclasses.replace(task, **changes)


def prompt_tokens(config: FinetuneConfig, model: LanguageModel) -> PromptTokens:
    """Make the tokens of the prompts of ``config`` for ``model``, without reading its data."""
    return tokenize(
        task_of(config.data, model.kind),
        model.tokenizer,
        min(config.data.max_length, model.max_length),
        kind=model.kind,
        template=not config.data.bare,
        vocab_size=model.config.vocab_size,
    )


def load_prompts(
    config: FinetuneConfig, model: LanguageModel
) -> tuple[PromptTokens, dict[str, tuple[Example, ...]]]:
    """Read the splits of ``config``, and make the tokens of their prompts for ``model``."""
    data = config.data
    task = task_of(data, model.kind)
    files = {"train": data.train, "dev": data.dev, "test": data.test}
    splits = load_splits(
        task,
        files={name: path for name, path in files.items() if path is not None},
        k_shot=data.k_shot,
        seed=config.seed,
    )
    return prompt_tokens(config, model), splits


def load_data(config: FinetuneConfig, model: LanguageModel) -> Data:
    """Read, tokenise and batch the examples of ``config`` for ``model``."""
    tokens, splits = load_prompts(config, model)
    sets = {name: PromptSet.of(split, tokens) for name, split in splits.items()}
    train, buckets = sets["train"], config.data.num_buckets
    solver = objective(model, tokens)
    loss, view = _loss(config.objective, solver, train)
    return Data(
        solver,
        loss,
        view,
        train,
        _lengths([train], view, model.max_length, buckets),
        *to_measure([sets["dev"], sets["test"]], model.max_length, buckets, config.eval_batch_size),
    )


def to_measure(
    splits: Sequence[PromptSet], max_length: int, num_buckets: int, batch_size: int
) -> list[Measured]:
    """Make evaluation batches of several splits, with padded lengths that all of them share."""
    rows = _lengths(splits, "candidates", max_length, num_buckets)
    generates = splits[0].tokens.task.kind == "generation"
    prompts = _lengths(splits, "prompt", max_length, num_buckets) if generates else ()
    return [
        Measured(
            list(evaluation_batches(split, rows, batch_size)),
            list(decoding_batches(split, prompts, batch_size)) if generates else (),
        )
        for split in splits
    ]


def _lengths(
    sets: Sequence[PromptSet], view: View, max_length: int, num_buckets: int
) -> tuple[int, ...]:
    rows = np.concatenate([prompts.lengths_of(view) for prompts in sets])
    longest = max_length
    if view == "prompt":
        longest -= sets[0].tokens.task.max_new_tokens
    # Prompts leave room for an answer, but buckets round lengths up, possibly beyond that.
    return tuple(min(n, longest) for n in bucket_lengths(rows, num_buckets))


def _loss(name: ObjectiveName, task: Objective, train: PromptSet) -> tuple[BatchLoss, View]:
    """Return what a step minimizes, and which rows of an example it reads.

    Raises:
      ValueError: The metric is not defined for this kind of task.
    """
    if name == "loss":
        return task.loss, "training"
    if name == "accuracy" and not isinstance(task, Generation):
        return negative_accuracy(task), "candidates"
    if name == "f1" and isinstance(task, Generation):
        return negative_f1(task, train.examples), "prompt"
    needs, other = ("chooses", "f1") if name == "accuracy" else ("generates text", "accuracy")
    asked = train.tokens.task
    raise ValueError(
        f"finetune: objective {name} must be for a task that {needs}, got {asked.name}, a task of "
        f"{asked.kind.replace('_', ' ')}. Take {other} or loss."
    )

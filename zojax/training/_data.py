"""From a configuration to batches."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from zojax.models import LanguageModel
from zojax.tasks import (
    Batch,
    Example,
    Objective,
    PromptSet,
    PromptTokens,
    Sizes,
    Task,
    bucket_lengths,
    evaluation_batches,
    load_splits,
    load_task,
    objective,
    tokenize,
)
from zojax.tasks._task import ModelKind
from zojax.training._config import DataConfig, FinetuneConfig


@dataclass(frozen=True)
class Data:
    """What the loop and the measurements read.

    Attributes:
      task: Turns a batch into a loss.
      train: The training examples.
      lengths: Padded lengths of the training batches, in tokens.
      dev: Batches of all dev examples.
      test: Batches of all test examples.
    """

    task: Objective
    train: PromptSet
    lengths: tuple[int, ...]
    dev: list[Batch]
    test: list[Batch]


def task_of(config: DataConfig, kind: ModelKind) -> Task:
    """Return the task that the configuration asks for, with its prompt for a kind of model.

    Raises:
      FileNotFoundError: There is no such TOML file.
      ValueError: There is no such task, or it does not go with the template or the label words.
    """
    if config.task is None and config.train is not None:
        # The user's own texts: all of them.
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


def load_prompts(
    config: FinetuneConfig, model: LanguageModel
) -> tuple[PromptTokens, dict[str, tuple[Example, ...]]]:
    """Read the splits of ``config``, and make what tokenises them for ``model``."""
    data = config.data
    task = task_of(data, model.kind)
    files = {"train": data.train, "dev": data.dev, "test": data.test}
    splits = load_splits(
        task,
        files={name: path for name, path in files.items() if path is not None},
        k_shot=data.k_shot,
        seed=config.seed,
    )
    max_length = min(data.max_length, model.max_length)
    tokens = tokenize(
        task,
        model.tokenizer,
        max_length,
        kind=model.kind,
        template=not data.bare,
        vocab_size=model.config.vocab_size,
    )
    return tokens, splits


def load_data(config: FinetuneConfig, model: LanguageModel) -> Data:
    """Read, tokenise and batch the examples of ``config`` for ``model``."""
    tokens, splits = load_prompts(config, model)
    sets = {name: PromptSet.of(split, tokens) for name, split in splits.items()}
    train, dev, test = sets["train"], sets["dev"], sets["test"]
    buckets = config.data.num_buckets
    measured = bucket_lengths(np.concatenate([dev.lengths, test.lengths]), buckets)
    return Data(
        task=objective(model, tokens),
        train=train,
        lengths=bucket_lengths(train.lengths, buckets),
        dev=list(evaluation_batches(dev, measured, config.eval_batch_size)),
        test=list(evaluation_batches(test, measured, config.eval_batch_size)),
    )

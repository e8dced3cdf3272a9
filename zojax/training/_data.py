"""From a configuration to batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zojax.models import LanguageModel
from zojax.tasks import (
    Batch,
    Classification,
    Example,
    PromptSet,
    Task,
    bucket_lengths,
    evaluation_batches,
    hold_out,
    per_class,
    read_examples,
    rotten_tomatoes,
    tokenize,
)
from zojax.training._config import DataConfig, FinetuneConfig

Examples = tuple[Example, ...]


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

    task: Classification
    train: PromptSet
    lengths: tuple[int, ...]
    dev: list[Batch]
    test: list[Batch]


def read_splits(config: DataConfig, seed: int) -> tuple[Examples, Examples, Examples]:
    """Read train, dev and test, and draw the samples that the configuration asks for."""
    if config.train is None or config.test is None:
        splits = rotten_tomatoes()
        train, dev, test = splits["train"], splits["dev"], splits["test"]
    else:
        task = _task(config)
        train = read_examples(config.train, task)
        test = read_examples(config.test, task)
        if config.dev is not None:
            dev = read_examples(config.dev, task)
        else:
            train, dev = hold_out(train, max(1, len(train) // 10), seed)
    if config.k_shot is not None:
        train, dev = per_class(train, config.k_shot, seed), per_class(dev, config.k_shot, seed)
    return train, _at_most(dev, config.dev_size, seed), _at_most(test, config.test_size, seed)


def load_data(config: FinetuneConfig, model: LanguageModel) -> Data:
    """Read, tokenise and batch the texts of ``config`` for ``model``."""
    max_length = min(config.data.max_length, model.config.max_position_embeddings)
    tokens = tokenize(_task(config.data), model.tokenizer, max_length)
    splits = read_splits(config.data, config.seed)
    train, dev, test = (PromptSet.of(split, tokens) for split in splits)
    buckets = config.data.num_buckets
    measured = bucket_lengths(np.concatenate([dev.lengths, test.lengths]), buckets)
    return Data(
        task=Classification(model, tokens),
        train=train,
        lengths=bucket_lengths(train.lengths, buckets),
        dev=list(evaluation_batches(dev, measured, config.eval_batch_size)),
        test=list(evaluation_batches(test, measured, config.eval_batch_size)),
    )


def _task(config: DataConfig) -> Task:
    return Task(
        name="finetune",
        kind="classification",
        template=config.template,
        label_words=config.label_words,
        label_names=config.label_names or (),
    )


def _at_most(examples: Sequence[Example], count: int, seed: int) -> Examples:
    """Draw ``count`` examples at random, or return all where there are no more."""
    if len(examples) <= count:
        return tuple(examples)
    return hold_out(examples, count, seed)[1]

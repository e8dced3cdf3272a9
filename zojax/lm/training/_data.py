"""Makes the batches and the loss of a run from its configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zojax.lm.models import LanguageModel, ModelInput, load_input
from zojax.lm.tasks import (
    BatchLoss,
    Example,
    Generation,
    Objective,
    PromptSet,
    PromptTokens,
    Task,
    View,
    bucket_lengths,
    decoding_batches,
    evaluation_batches,
    negative_accuracy,
    negative_f1,
    objective,
    tokenize,
)
from zojax.lm.training._config import FinetuneConfig, ObjectiveName
from zojax.lm.training._data_config import DataConfig
from zojax.lm.training._evaluation import Measured
from zojax.lm.training._report import DataReport, report_on
from zojax.lm.training._splits import read_splits
from zojax.lm.training._task import task_of


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


@dataclass(frozen=True)
class Prepared:
    """The data of a run, read and checked before the model's weights are loaded.

    Attributes:
      config: The run's configuration, with the classes that the rows have.
      tokens: The prompt's tokens.
      sets: The tokenised examples of each split.
      report: What was read.
    """

    config: FinetuneConfig
    tokens: PromptTokens
    sets: dict[str, PromptSet]
    report: DataReport


def prepare(config: FinetuneConfig) -> Prepared:
    """Read, check and tokenise the data of a run, with the model's tokenizer and no weights.

    Raises:
      FileNotFoundError, ImportError: A file or a package is missing.
      ValueError: A setting or rows of the data are wrong.
    """
    reads = load_input(config.model, implementation=config.implementation)
    splits = read_splits(config.data, reads.kind, config.seed)
    _check_objective(config.objective, splits.task)
    tokens = _tokens(config.data, splits.task, reads)
    sets = {name: PromptSet.of(examples, tokens) for name, examples in splits.examples.items()}
    config = dataclasses.replace(config, data=splits.data)
    return Prepared(config, tokens, sets, report_on(splits, sets, tokens.max_length))


def prompt_tokens(config: FinetuneConfig, model: LanguageModel) -> PromptTokens:
    """Make the tokens of the prompts of ``config`` for ``model``, without reading its data."""
    return _tokens(config.data, task_of(config.data, model.kind), model)


def load_prompts(
    config: FinetuneConfig, model: LanguageModel
) -> tuple[PromptTokens, dict[str, tuple[Example, ...]]]:
    """Read the splits of ``config``, and make the tokens of their prompts for ``model``."""
    splits = read_splits(config.data, model.kind, config.seed)
    return _tokens(config.data, splits.task, model), splits.examples


def load_data(
    config: FinetuneConfig, model: LanguageModel, prepared: Prepared | None = None
) -> Data:
    """Read, tokenise and batch the examples of ``config`` for ``model``.

    Args:
      config: The run's configuration.
      model: The model, with its adapter if there is one.
      prepared: The examples, if they have been read.
    """
    if prepared is None:
        tokens, splits = load_prompts(config, model)
        sets = {name: PromptSet.of(split, tokens) for name, split in splits.items()}
    else:
        tokens, sets = prepared.tokens, prepared.sets
        # An adapter that puts positions before the text leaves fewer for it.
        if min(config.data.max_length, model.max_length) != tokens.max_length:
            tokens = _tokens(config.data, tokens.task, model)
            sets = {name: PromptSet.of(split.examples, tokens) for name, split in sets.items()}
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


def _tokens(data: DataConfig, task: Task, model: LanguageModel | ModelInput) -> PromptTokens:
    return tokenize(
        task,
        model.tokenizer,
        min(data.max_length, model.max_length),
        kind=model.kind,
        template=not data.bare,
        vocab_size=model.config.vocab_size,
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
    """Return what a step minimizes, and which rows of an example it reads."""
    _check_objective(name, train.tokens.task)
    if name == "loss":
        return task.loss, "training"
    if isinstance(task, Generation):
        return negative_f1(task, train.examples), "prompt"
    return negative_accuracy(task), "candidates"


def _check_objective(name: ObjectiveName, task: Task) -> None:
    """Refuse a metric that is not defined for this kind of task."""
    if name == "loss" or (name == "f1") == (task.kind == "generation"):
        return
    needs, other = ("chooses", "f1") if name == "accuracy" else ("generates text", "accuracy")
    raise ValueError(
        f"finetune: objective {name} must be for a task that {needs}, got {task.name}, a task of "
        f"{task.kind.replace('_', ' ')}. Take {other} or loss."
    )

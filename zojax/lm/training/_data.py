"""Makes the batches and the loss of a run from its configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jax import Array

from zojax.lm.models import LanguageModel, ModelInput, Params, check_heads, load_input
from zojax.lm.rewards import RewardSet, RewardTask, Scorer
from zojax.lm.sequences import NextToken, SequenceSet, SequenceTokens
from zojax.lm.settings import DataConfig, FinetuneConfig, ObjectiveName
from zojax.lm.tasks import (
    BatchLoss,
    Classification,
    Generation,
    Objective,
    PromptSet,
    PromptTokens,
    Task,
    View,
    negative_accuracy,
    negative_f1,
    objective,
    tokenize,
)
from zojax.lm.training._evaluation import Measured
from zojax.lm.training._kind import sequence_kind, with_kind
from zojax.lm.training._measured_batches import (
    lengths_in_use,
    measure_rewards,
    measure_sequences,
    padded_lengths,
    to_measure,
)
from zojax.lm.training._report import DataReport, report_on
from zojax.lm.training._reward_data import prepare_rewards, reward_task
from zojax.lm.training._sequence_data import prepare_sequences, tokens_of
from zojax.lm.training._splits import read_splits
from zojax.lm.training._task import task_of
from zojax.sharding import read_mesh


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

    task: Objective | NextToken | RewardTask
    loss: Callable[[Params, Any], Array]
    view: View
    train: PromptSet | SequenceSet | RewardSet
    lengths: tuple[int, ...]
    dev: Measured
    test: Measured


@dataclass(frozen=True)
class Prepared:
    """The data of a run, read and checked before the model's weights are loaded.

    Attributes:
      config: The run's configuration, with the classes that the rows have.
      tokens: The prompt's tokens, or what makes tokens of rows that are no prompts.
      sets: The tokenised examples of each split.
      report: What was read.
      scorer: Scores completions, if the run raises a reward.
    """

    config: FinetuneConfig
    tokens: PromptTokens | SequenceTokens
    sets: dict[str, PromptSet] | dict[str, SequenceSet] | dict[str, RewardSet]
    report: DataReport
    scorer: Scorer | None = None

    def close(self) -> None:
        """End the processes of a reward."""
        if self.scorer is not None:
            self.scorer.close()

    def prompts(self) -> tuple[PromptTokens, dict[str, PromptSet]]:
        """The tokens and the examples of rows that are prompts.

        Raises:
          ValueError: They are not.
        """
        tokens = self.tokens
        if not isinstance(tokens, PromptTokens):
            data = self.config.data
            raise ValueError(  # noqa: TRY004 - the file of rows, as for every other setting
                f"{data.train} must have rows of a task or of classification, got {data.kind}. "
                "Only finetune, eval, predict and zero_shot take others."
            )
        return tokens, {n: part for n, part in self.sets.items() if isinstance(part, PromptSet)}

    def fitted_to(self, model: LanguageModel) -> tuple[PromptTokens, dict[str, PromptSet]]:
        """The same for a model, whose adapter may leave less room for them."""
        tokens, sets = self.prompts()
        if min(self.config.data.most_tokens, model.max_length) == tokens.max_length:
            return tokens, sets
        tokens = _tokens(self.config.data, tokens.task, model)
        return tokens, {name: PromptSet.of(part.examples, tokens) for name, part in sets.items()}


def prepare(config: FinetuneConfig) -> Prepared:
    """Read, check and tokenise the data of a run, with the model's tokenizer and no weights.

    Raises:
      FileNotFoundError, ImportError: A file or a package is missing.
      ValueError: A setting or rows of the data are wrong.
    """
    reads = load_input(config.model, implementation=config.implementation)
    axes = read_mesh("finetune", config.mesh, config.layout) if config.mesh else {}
    check_heads("finetune", reads.config, axes.get("model", 1))
    scored = config.scoring.reward is not None
    config = dataclasses.replace(config, data=with_kind(config.data, prompts=scored))
    if scored:
        return Prepared(*prepare_rewards(config, reads))
    if sequence_kind(config.data) is not None:
        return Prepared(*prepare_sequences(config, reads))
    splits = read_splits(config.data, reads.kind, config.seed)
    _check_objective(config.objective, splits.task)
    tokens = _tokens(config.data, splits.task, reads)
    sets = {name: PromptSet.of(examples, tokens) for name, examples in splits.examples.items()}
    config = dataclasses.replace(config, data=splits.data)
    return Prepared(config, tokens, sets, report_on(splits, sets, tokens.max_length))


def prompt_tokens(config: FinetuneConfig, model: LanguageModel) -> PromptTokens:
    """Make the tokens of the prompts of ``config`` for ``model``, without reading its data."""
    return _tokens(config.data, task_of(config.data, model.kind), model)


def load_data(prepared: Prepared, model: LanguageModel) -> Data:
    """Make batches of the examples for ``model``, with its adapter if there is one."""
    config = prepared.config
    if prepared.scorer is not None:
        return _load_rewards(prepared, model, prepared.scorer)
    if sequence_kind(config.data) is not None:
        return _load_sequences(prepared, model)
    tokens, sets = prepared.fitted_to(model)
    train, buckets = sets["train"], config.data.padded_lengths
    solver = objective(model, tokens)
    loss, view = _loss(config.objective, solver, train)
    room = tokens.task.max_new_tokens if isinstance(solver, Generation) and view == "prompt" else 0
    return Data(
        solver,
        loss,
        view,
        train,
        padded_lengths([train], view, model.max_length - room, buckets),
        *to_measure(
            [sets["dev"], sets["test"]],
            model.max_length,
            buckets,
            config.eval_batch_size,
            view_of(solver),
        ),
    )


def view_of(task: Objective) -> View:
    """Which rows of an example an evaluation reads."""
    return task.view if isinstance(task, Classification) else "candidates"


def _tokens(data: DataConfig, task: Task, model: LanguageModel | ModelInput) -> PromptTokens:
    return tokenize(
        task,
        model.tokenizer,
        min(data.most_tokens, model.max_length),
        kind=model.kind,
        template=not data.bare,
        vocab_size=model.config.vocab_size,
    )


def _load_sequences(prepared: Prepared, model: LanguageModel) -> Data:
    config = prepared.config
    tokens = tokens_of(config, model)
    # An adapter that puts positions before the text leaves fewer for it.
    sets = {
        name: SequenceSet.of(part.whole, tokens)
        for name, part in prepared.sets.items()
        if isinstance(part, SequenceSet)
    }
    train, buckets = sets["train"], config.data.padded_lengths
    solver = NextToken(model, tokens)
    lengths = padded_lengths([train], "training", model.max_length, buckets)
    return Data(
        solver,
        solver.loss,
        "training",
        train,
        lengths_in_use(lengths, train.lengths),
        *measure_sequences(
            [sets["dev"], sets["test"]], model.max_length, buckets, config.eval_batch_size
        ),
    )


def _load_rewards(prepared: Prepared, model: LanguageModel, scorer: Scorer) -> Data:
    config = prepared.config
    sets = {name: part for name, part in prepared.sets.items() if isinstance(part, RewardSet)}
    train, buckets = sets["train"], config.data.padded_lengths
    task = reward_task(config, model, tokens_of(config, model), scorer)
    longest = model.max_length - config.scoring.most_new_tokens
    lengths = padded_lengths([train], "prompt", longest, buckets)
    return Data(
        task,
        task.loss_of(train),
        "prompt",
        train,
        lengths_in_use(lengths, train.lengths_of("prompt")),
        *measure_rewards([sets["dev"], sets["test"]], longest, buckets, config.eval_batch_size),
    )


def _loss(name: ObjectiveName, task: Objective, train: PromptSet) -> tuple[BatchLoss, View]:
    """Return what a step minimizes, and which rows of an example it reads."""
    _check_objective(name, train.tokens.task)
    if name == "loss":
        # A head of classes reads the prompt alone.
        return task.loss, "training" if view_of(task) == "candidates" else "prompt"
    if isinstance(task, Generation):
        return negative_f1(task, train.examples), "prompt"
    return negative_accuracy(task), view_of(task)


def _check_objective(name: ObjectiveName, task: Task) -> None:
    """Refuse a metric that is not defined for this kind of task."""
    if name == "loss" or (name == "f1") == (task.kind == "generation"):
        return
    needs, other = ("chooses", "f1") if name == "accuracy" else ("generates text", "accuracy")
    raise ValueError(
        f"finetune: objective {name} must be for a task that {needs}, got {task.name}, a task of "
        f"{task.kind.replace('_', ' ')}. Take {other} or loss."
    )

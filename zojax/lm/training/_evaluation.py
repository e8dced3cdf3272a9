"""Scores of parameters on a set of examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from zojax.lm.decoding import texts
from zojax.lm.models import Params
from zojax.lm.processes import Spread
from zojax.lm.sequences import NextToken, TokenTotals
from zojax.lm.tasks import (
    Batch,
    Classification,
    Decoding,
    Generation,
    Objective,
    Totals,
    exact_match,
    f1,
)
from zojax.lm.training._step import CompiledByShape

_MOST_NATS = 700.0  # exp of more is no float64


class Scores(NamedTuple):
    """Scores of one set of parameters on some examples."""

    # Fraction of right predictions, for generation see Generation; None for rows without a choice.
    accuracy: float | None
    loss: float  # mean cross entropy, nats: of examples, or of tokens if those are counted
    examples: int  # number of examples
    f1: float | None = None  # mean F1 of the generated answers; None for a task that chooses
    exact_match: float | None = None  # fraction of generated answers that are right; None likewise
    tokens: int | None = None  # number of predicted tokens of rows without a choice; else None
    # Of a run that raises a reward, else None: the mean over all completions, -inf where none has a
    # score; the best and the standard deviation of a completion; its mean length in tokens; and how
    # many the reward failed at. The loss is minus the reward.
    reward: float | None = None
    reward_best: float | None = None
    reward_spread: float | None = None
    length: float | None = None
    failures: int | None = None

    @property
    def metric(self) -> float:
        """What the best step has most of: a reward, F1 of answers, accuracy, or minus the loss."""
        return next(score for score in (self.f1, self.accuracy, -self.loss) if score is not None)

    @property
    def metric_name(self) -> str:
        """``"reward"``, ``"F1"``, ``"accuracy"`` or ``"perplexity"``."""
        if self.reward is not None:
            return "reward"
        if self.accuracy is None:
            return "perplexity"
        return "accuracy" if self.f1 is None else "F1"

    @property
    def shown(self) -> str:
        """The metric as people read it: a percentage, the reward, or the perplexity."""
        if self.reward is not None:
            return f"{self.reward:.4g}"
        return f"{self.metric:.1%}" if self.perplexity is None else f"{self.perplexity:.4g}"

    @property
    def perplexity(self) -> float | None:
        """exp(loss) of rows without a choice; None for others."""
        if self.tokens is None:
            return None
        return math.exp(self.loss) if self.loss < _MOST_NATS else math.inf

    def as_dict(self) -> dict[str, float]:
        """The scores that are not None, by name."""
        scores = {**self._asdict(), "perplexity": self.perplexity}
        return {name: value for name, value in scores.items() if value is not None}


class Confusion(NamedTuple):
    """Which classes are taken for which."""

    labels: tuple[str, ...]  # the names of the C classes, class 0 first
    counts: np.ndarray  # int64 [C, C]: examples of each class (row) by predicted class (column)


class Evaluation(NamedTuple):
    """What one set of parameters does on labelled examples."""

    scores: Scores
    confusion: Confusion | None  # None for a task without classes


@dataclass(frozen=True)
class Measured:
    """The examples of a split, in batches for evaluation.

    Attributes:
      batches: All examples with their candidates.
      prompts: The prompts of all examples: a :class:`Decoding` of each batch for a task that
        generates, a :class:`ToWrite` for a reward, and none for a task that chooses.
    """

    batches: Sequence[Batch]
    prompts: Sequence[Any]


def dev_metrics(dev: Scores) -> dict[str, float]:
    """The scores on dev under their names in metrics.jsonl."""
    counts = ("examples", "tokens")
    return {f"dev_{name}": value for name, value in dev.as_dict().items() if name not in counts}


class CompiledTotals:
    """Measures batches; each program is compiled once for each shape of batch.

    Args:
      task: Scores batches, and writes answers if the task is one of generation.
      announce: Called with a line that says what is being compiled.
      spread: The devices over which a batch's examples are distributed.
      compiled: Called with what was compiled, and the seconds that it took.
      confusion: Whether to count which classes are taken for which, if the task has classes.
    """

    def __init__(
        self,
        task: Objective | NextToken,
        announce: Callable[[str], None],
        spread: Spread = Spread(),  # noqa: B008 (frozen)
        compiled: Callable[[str, float], None] | None = None,
        *,
        confusion: bool = False,
    ) -> None:
        where: Any = {
            "place": spread.shared_rows,
            "out_shardings": spread.everywhere,
            "compiled": compiled,
        }
        classes = task if confusion and isinstance(task, Classification) else None
        self._labels = classes.tokens.task.class_names if classes else ()
        sums = classes.confusion if classes else _alone(task.totals)
        self._totals = CompiledByShape(sums, "the forward pass", announce, **where)
        self._of_tokens = isinstance(task, NextToken)
        self._tokenizer = task.model.tokenizer
        # A task that chooses has no prompts, so its self._write is never called.
        write = task.write if isinstance(task, Generation) else task.totals
        self._write = CompiledByShape(write, "greedy decoding", announce, **where)

    @property
    def seconds(self) -> float:
        """Time that compiling has taken, in seconds."""
        return self._totals.seconds + self._write.seconds

    def measure(self, params: Params, examples: Measured) -> Evaluation:
        """Return the scores of examples, and the confusion if it was asked for."""
        found = self.of(params, examples.batches)
        if not examples.prompts:
            return found
        mean_f1, mean_match = self.of_answers(params, examples.prompts)
        scores = found.scores._replace(f1=mean_f1, exact_match=mean_match)
        return found._replace(scores=scores)

    def of(self, params: Params, batches: Sequence[Batch]) -> Evaluation:
        """Return the scores of ``batches``, and the confusion if it was asked for."""
        self._totals.prepare(*((params, batch) for batch in batches))
        # All batches are dispatched before the first sum is read, so that the device never idles.
        sums = [self._totals(params, batch) for batch in batches]
        loss, second, examples = np.sum([[float(x) for x in totals] for totals, _ in sums], axis=0)
        if self._of_tokens:
            scores = Scores(None, float(loss / second), int(examples), tokens=int(second))
        else:
            scores = Scores(float(second / examples), float(loss / examples), int(examples))
        if not self._labels:
            return Evaluation(scores, None)
        # The sum of a batch is exact, for it is a number of examples in float32.
        counts = sum(np.asarray(part).astype(np.int64) for _, part in sums)
        return Evaluation(scores, Confusion(self._labels, np.asarray(counts)))

    def of_answers(self, params: Params, prompts: Sequence[Decoding]) -> tuple[float, float]:
        """Return the mean F1 and exact match of the answers generated to ``prompts``."""
        self._write.prepare(*((params, batch) for batch, _ in prompts))
        written = [self._write(params, batch) for batch, _ in prompts]
        scores = [
            (f1(text, example.answers), exact_match(text, example.answers))
            for tokens, (_, examples) in zip(written, prompts, strict=True)
            # Rows that only fill the batch up come after its examples and are left out.
            for text, example in zip(texts(self._tokenizer, tokens), examples, strict=False)
        ]
        mean_f1, mean_match = np.mean(scores, axis=0)
        return float(mean_f1), float(mean_match)


class AnyTotals(Protocol):
    """Measures parameters on examples."""

    @property
    def seconds(self) -> float:
        """Time that compiling has taken, in seconds."""
        ...

    def measure(self, params: Params, examples: Measured) -> Evaluation:
        """Measure ``params`` on examples."""
        ...


def evaluate(totals: AnyTotals, params: Params, examples: Measured) -> Scores:
    """Measure ``params`` on examples: the scores alone, see :func:`evaluate_classes`."""
    return evaluate_classes(totals, params, examples).scores


def evaluate_classes(totals: AnyTotals, params: Params, examples: Measured) -> Evaluation:
    """Measure ``params`` on examples: scores and, if ``totals`` counts it, the confusion.

    Cost: one forward pass for each batch; a task of generation also takes one for each token that
      an answer may have.

    Args:
      totals: Measures batches.
      params: The parameters to measure.
      examples: At least one example.
    """
    return totals.measure(params, examples)


def _alone(
    totals: Callable[[Params, Batch], Totals | TokenTotals],
) -> Callable[..., tuple[Totals | TokenTotals, None]]:
    """Totals without a confusion."""
    return lambda params, batch: (totals(params, batch), None)


class ScoresByStep:
    """Measures the parameters of several steps on the same examples, each step only once.

    Args:
      totals: Measures batches.
      examples: At least one example.
    """

    def __init__(self, totals: AnyTotals, examples: Measured) -> None:
        self._totals, self._examples = totals, examples
        self._known: dict[int, Scores] = {}

    def of(self, step: int, params: Params) -> Scores:
        """Measure ``params``, the parameters after ``step``."""
        if step not in self._known:
            self._known[step] = evaluate(self._totals, params, self._examples)
        return self._known[step]

"""Linear probing: logistic regression on the hidden states of a frozen model."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from zojax.lm.baselines._measured import Measured, load_untuned, prepare_untuned
from zojax.lm.baselines._rows import ProbedRow, choice_rows, hidden_states, question_rows
from zojax.lm.tasks import PromptSet
from zojax.lm.training import FinetuneConfig, Observer, Scores

# Inverse strengths of the penalty, the strongest penalty first; the best on dev is used.
_GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_MAX_ITER = 5000


def linear_probe(config: FinetuneConfig, observer: Observer | None = None) -> Measured:
    """Fit logistic regression to a model's hidden states on the training examples.

    In a classification task it predicts the class from the state at the position that predicts the
    label word: the prompt's last token or, for a masked model, the mask. In a multiple-choice task
    each choice is put into the prompt, and the probe classifies it as right or wrong by the state
    at its last token, from which the mean over the example's choices is subtracted first; the
    choice with the highest logit is predicted. The states are those that the LM head reads, in
    float32, scaled to mean 0 and variance 1 over the training rows. The penalty's inverse strength
    C is the one of 1e-5, 1e-4 … 10 with the highest accuracy on dev; among equals, the one with the
    lowest loss. The regression is fitted in float64 on the CPU.

    Args:
      config: The model, the data and the seed; settings of training are ignored.
      observer: Called as the measurement progresses.

    Returns:
      Scores on dev and test, whose loss is the cross entropy of the probe's probabilities;
      ``chosen`` has ``C``.

    Cost: a forward pass for each train, dev and test example, or for each of its choices; H floats
      in host memory for each of these rows.

    Raises:
      ImportError: scikit-learn is not installed.
      ValueError: The task is one of generation, a class has no training example, the configuration
        has an adapter, or a setting or a row of data is wrong.

    References:
      Malladi et al., 2023, arXiv:2305.17333, whose multiple choice differs: it predicts tokens.
    """
    begin = time.perf_counter()
    observer = observer or Observer()
    regression = _import_regression()
    prepared = prepare_untuned("linear_probe", config)
    tokens, sets = prepared.prompts()
    if tokens.task.kind == "generation":
        raise ValueError(
            f"linear_probe: the task must have classes or choices to tell apart, got "
            f"{tokens.task.name}, a generation task: a linear probe cannot generate an answer. "
            "Take zero_shot or in_context."
        )
    of_train, of_dev, of_test = questions = [
        _questions(sets[name]) for name in ("train", "dev", "test")
    ]
    missing = sorted(set(range(tokens.num_classes)) - set(of_train.labels.tolist()))
    if missing:
        raise ValueError(
            f"linear_probe: train must have examples of every class, got none of {missing}. Raise "
            "train_size, or set k_shot."
        )
    rows = [row for part in questions for row in part.rows]
    model = load_untuned(config, observer)
    observer.status(f"reading {len(rows)} rows with {config.model}")
    states = hidden_states(
        model, rows, config.eval_batch_size, config.data.padded_lengths, observer.status
    )
    ends = np.cumsum([len(part.rows) for part in questions])
    train, dev, test = (
        part.features(own.astype(np.float64))
        for part, own in zip(questions, np.split(states, ends[:-1]), strict=True)
    )
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale == 0] = 1.0
    train, dev, test = ((features - mean) / scale for features in (train, dev, test))
    observer.status("fitting logistic regression")
    fits: list[tuple[Scores, float, Any]] = []
    for strength in _GRID:
        fit = regression(C=strength, max_iter=_MAX_ITER).fit(train, of_train.targets)
        fits.append((of_dev.measured(fit, dev), strength, fit))
    scores, strength, fit = max(fits, key=lambda found: (found[0].accuracy, -found[0].loss))
    found = Measured(
        dev=scores,
        test=of_test.measured(fit, test),
        seconds=time.perf_counter() - begin,
        rows_read=len(rows),
        chosen={"C": strength},
    )
    observer.measured("linear-probe", found.test)
    return found


@dataclass(frozen=True)
class _Questions:
    """N examples as R rows to probe.

    Attributes:
      rows: One row for each example, or for each of its choices.
      targets: int [R]: the example's class, or whether the choice is right.
      labels: int [N]: the right class or choice of each example.
      right: bool [N, C]: whether each class or choice is right.
      sizes: int [N]: the number of choices of each example; None for a task with classes.
    """

    rows: list[ProbedRow]
    targets: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    sizes: np.ndarray | None

    def features(self, states: np.ndarray) -> np.ndarray:
        """Features of [R, H] states; for choices, the example's mean over choices is subtracted."""
        if self.sizes is None:
            return states
        starts = np.cumsum(self.sizes) - self.sizes
        means = np.add.reduceat(states, starts) / self.sizes[:, None]
        return states - np.repeat(means, self.sizes, axis=0)

    def measured(self, fit: Any, features: np.ndarray) -> Scores:
        """Score a fitted regression on [R, H] features."""
        if self.sizes is None:
            log_p = fit.predict_log_proba(features)
        else:
            log_p = np.full(self.right.shape, -np.inf)
            exists = np.arange(self.right.shape[1]) < self.sizes[:, None]
            log_p[exists] = fit.decision_function(features)
            log_p -= np.logaddexp.reduce(log_p, axis=1, keepdims=True)
        examples = np.arange(len(self.labels))
        hits = self.right[examples, log_p.argmax(axis=1)]
        loss = -log_p[examples, self.labels].mean()
        return Scores(float(hits.mean()), float(loss), len(examples))


def _questions(prompts: PromptSet) -> _Questions:
    examples = prompts.examples
    labels = np.array([example.label for example in examples])
    right = np.zeros((len(examples), prompts.num_candidates), bool)
    for i, example in enumerate(examples):
        right[i, list(example.right)] = True
    if prompts.tokens.num_classes:
        return _Questions(question_rows(prompts), labels, labels, right, None)
    rows = choice_rows(prompts)
    sizes = np.array([len(choices) for choices in rows])
    targets = np.concatenate([right[i, :size] for i, size in enumerate(sizes)]).astype(int)
    return _Questions(list(itertools.chain(*rows)), targets, labels, right, sizes)


def _import_regression() -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ModuleNotFoundError as error:
        raise ImportError(
            'linear_probe: logistic regression needs scikit-learn: pip install "zojax[probe]".'
        ) from error
    return LogisticRegression

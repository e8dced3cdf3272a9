"""Fits a bias of the label words' scores, and a head of classes, to training rows."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any, NamedTuple

import numpy as np

from zojax.lm.training._evaluation import Scores

# Inverse strengths of the penalty, the strongest penalty first.
_GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_MAX_ITER = 1000


class Probe(NamedTuple):
    """A fitted head."""

    kernel: np.ndarray  # float32 [H, C]
    strength: float  # C of scikit-learn, the inverse strength of the penalty


def require_sklearn() -> None:
    """Refuse before the model loads if no head can be fitted.

    Raises:
      ImportError: scikit-learn is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError(
            'finetune: a probe needs scikit-learn: pip install "zojax[probe]". To start without '
            "one, take start words or calibrated (--start)."
        )


def fit_bias(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    r"""Fit a bias for each class, without a penalty.

    .. math:: \min_b \; -\frac1N \sum_i \log \mathrm{softmax}(s_i + b)_{y_i}

    The problem is convex. At its solution the mean probability of each class is its share of the
    rows. Adding a constant to all biases changes nothing, so that their mean is 0.

    Args:
      scores: [N, C].
      labels: int [N]; every class is among them.

    Returns:
      float32 [C].
    """
    from scipy.optimize import minimize

    scores = scores.astype(np.float64)
    shares = np.bincount(labels, minlength=scores.shape[1]) / len(labels)

    def loss(bias: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = _log_softmax(scores + bias)
        value = -log_p[np.arange(len(labels)), labels].mean()
        return float(value), np.exp(log_p).mean(axis=0) - shares

    found: Any = minimize(loss, np.zeros(scores.shape[1]), jac=True, method="L-BFGS-B", tol=1e-9)
    return (found.x - found.x.mean()).astype(np.float32)


def fit_probe(
    train: np.ndarray, labels: np.ndarray, dev: np.ndarray, dev_labels: np.ndarray
) -> Probe:
    """Fit a head of classes without intercept by logistic regression.

    The penalty is on the head of features that are divided by one number, the root of their mean
    variance, so that its strengths mean the same for every model; the number is then folded into
    the head. (A scale for each feature was no better on opt-mini, and a shift would need an
    intercept.) The inverse strength C is the one of 1e-5, 1e-4 … 10 with the highest accuracy on
    dev; among equals the one with the lowest loss there, as for the best step of a run: where all
    are right, the strongest penalty would leave a head so small that no step could tell its loss
    from that of guessing.

    Args:
      train: Features [N, H].
      labels: int [N]; every class is among them.
      dev: Features [M, H].
      dev_labels: int [M].
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    train = train.astype(np.float64)
    scale = float(np.sqrt(train.var(axis=0).mean())) or 1.0
    # Each fit begins at the one before it, whose penalty is stronger.
    fit: Any = LogisticRegression(fit_intercept=False, max_iter=_MAX_ITER, warm_start=True)
    fits: list[tuple[tuple[float, float], Probe]] = []
    for strength in _GRID:
        # With one thread the bits do not depend on their number. Several are no faster at these
        # sizes, and many times as slow on a busy machine.
        with warnings.catch_warnings(), threadpool_limits(limits=1):
            # A weak penalty may need more iterations; dev decides if the head is good.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit.set_params(C=strength).fit(train / scale, labels)
        rows: np.ndarray = fit.coef_
        if len(rows) == 1:  # of two classes, scikit-learn keeps the difference of the two rows
            rows = np.concatenate([-rows / 2, rows / 2])
        kernel = np.ascontiguousarray((rows / scale).T.astype(np.float32))
        on_dev = measure_scores(dev @ kernel, dev_labels)
        fits.append(((on_dev.metric, -on_dev.loss), Probe(kernel, strength)))
    return max(fits, key=lambda fit: fit[0])[1]


def measure_scores(scores: np.ndarray, labels: np.ndarray) -> Scores:
    """The accuracy and the mean cross entropy of scores [N, C]."""
    log_p = _log_softmax(scores.astype(np.float64))
    loss = -log_p[np.arange(len(labels)), labels].mean()
    return Scores(float((scores.argmax(axis=1) == labels).mean()), float(loss), len(labels))


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)

"""The bias and the head that a run may start from: solutions of the problems that they state."""

from __future__ import annotations

import numpy as np
import pytest

from zojax.lm.training._start_fit import fit_bias, fit_probe, measure_scores

pytestmark = pytest.mark.quick


def softmax(scores: np.ndarray) -> np.ndarray:
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def test_a_fitted_bias_gives_each_class_its_share():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, size=200, p=[0.6, 0.3, 0.1])
    scores = rng.normal(size=(200, 3)) + np.array([30.0, 0.0, -5.0])
    bias = fit_bias(scores, labels)
    assert bias.dtype == np.float32
    assert bias.mean() == pytest.approx(0.0, abs=1e-5)
    shares = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(softmax(scores + bias).mean(axis=0), shares, atol=1e-4)
    # The cross entropy is at its minimum: whatever else is added makes it larger.
    best = measure_scores(scores + bias, labels).loss
    for other in rng.normal(scale=0.3, size=(20, 3)):
        if np.ptp(other) > 0.1:
            assert measure_scores(scores + bias + other, labels).loss > best


def test_the_loss_is_the_mean_cross_entropy():
    found = measure_scores(np.log([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]]), np.array([0, 2]))
    assert found.loss == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)
    assert (found.accuracy, found.examples) == (0.5, 2)


def features(rng: np.random.Generator, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Clusters far from the origin, which a head without intercept must tell apart."""
    centres = np.random.default_rng(9).normal(size=(classes, 16))
    labels = rng.integers(classes, size=count)
    return (centres[labels] + rng.normal(scale=0.4, size=(count, 16)) + 3.0), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_a_head_tells_classes_apart(classes: int):
    rng = np.random.default_rng(1)
    (train, labels), (dev, dev_labels) = features(rng, 300, classes), features(rng, 200, classes)
    found = fit_probe(train, labels, dev, dev_labels)
    assert found.kernel.shape == (16, classes)
    assert found.kernel.dtype == np.float32
    assert measure_scores(dev @ found.kernel, dev_labels).accuracy > 0.9


def test_the_scale_of_the_features_changes_nothing():
    rng = np.random.default_rng(2)
    (train, labels), (dev, dev_labels) = features(rng, 200, 3), features(rng, 100, 3)
    one = fit_probe(train, labels, dev, dev_labels)
    large = fit_probe(1000 * train, labels, 1000 * dev, dev_labels)
    assert one.strength == large.strength
    np.testing.assert_allclose(large.kernel * 1000, one.kernel, rtol=1e-3, atol=1e-5)


def test_dev_chooses_the_penalty():
    # All penalties tell these apart: the weakest is the surest.
    train, labels = np.array([[1.0, 0.0], [-1.0, 0.0]] * 10), np.array([0, 1] * 10)
    assert fit_probe(train, labels, train, labels).strength == 10.0
    # Noise that a weak penalty learns by heart, and a strong one does not.
    rng = np.random.default_rng(3)
    noisy = (
        rng.normal(size=(40, 60)) + np.eye(1, 60) * np.where(np.arange(40) % 2, 1.5, -1.5)[:, None]
    )
    of_noisy, dev = np.arange(40) % 2, rng.normal(size=(400, 60))
    of_dev = np.arange(400) % 2
    dev[:, 0] += np.where(of_dev, 1.5, -1.5)
    assert fit_probe(noisy, of_noisy, dev, of_dev).strength < 10.0

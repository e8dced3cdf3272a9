"""The best parameters so far: which are kept, and that keeping them holds no device memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from zojax.lm.training import Scores
from zojax.lm.training._best import Best, to_host


def test_more_accurate_parameters_win_and_less_loss_breaks_ties():
    best = Best(0, Scores(0.5, 0.6, 10), {"x": np.zeros(1)})
    offers = [(1, 0.5, 0.7), (2, 0.4, 0.1), (3, 0.5, 0.5), (4, 0.6, 0.9), (5, 0.6, np.nan)]
    kept = []
    for step, accuracy, loss in offers:
        best.offer(step, Scores(accuracy, loss, 10), {"x": jnp.full(1, float(step))})
        kept.append((best.step, float(best.params["x"][0])))
    assert kept == [(0, 0.0), (0, 0.0), (3, 3.0), (4, 4.0), (4, 4.0)]


def test_written_answers_are_judged_by_their_f1():
    best = Best(0, Scores(0.9, 0.1, 10, f1=0.2, exact_match=0.1), {"x": np.zeros(1)})
    best.offer(1, Scores(0.0, 0.9, 10, f1=0.3, exact_match=0.0), {"x": np.ones(1)})
    assert best.step == 1
    best.offer(2, Scores(1.0, 0.0, 10, f1=0.25, exact_match=0.2), {"x": np.ones(1)})
    assert best.step == 1


def test_texts_are_judged_by_their_loss():
    best = Best(0, Scores(None, 2.0, 10, tokens=80), {"x": np.zeros(1)})
    best.offer(1, Scores(None, 1.5, 10, tokens=80), {"x": np.ones(1)})
    best.offer(2, Scores(None, 1.6, 10, tokens=80), {"x": np.ones(1)})
    assert best.step == 1


def test_the_perplexity_of_texts():
    scores = Scores(None, float(np.log(12.5)), 10, tokens=80)
    assert (scores.metric_name, scores.shown) == ("perplexity", "12.5")
    assert scores.as_dict() == {
        "loss": scores.loss,
        "examples": 10,
        "tokens": 80,
        "perplexity": scores.perplexity,
    }
    assert Scores(None, 1e4, 1, tokens=1).perplexity == np.inf
    assert "perplexity" not in Scores(0.5, 1.0, 10).as_dict()


def test_the_next_step_still_takes_the_memory_of_what_was_kept():
    params = {"x": jnp.arange(1000.0) + 1.0}
    place = params["x"].unsafe_buffer_pointer()
    kept = to_host(params)
    after = jax.jit(lambda p: {"x": p["x"] + 1.0}, donate_argnums=0)(params)
    assert after["x"].unsafe_buffer_pointer() == place
    np.testing.assert_array_equal(kept["x"], np.arange(1000.0) + 1.0)

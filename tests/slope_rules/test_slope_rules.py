"""Slope rules: their formulas, the unit that they give the learning rate, and logs of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick_compile import quick_jit
from sets import slow_except

import zojax
from zojax.slope_rules import clip, rms, sign, spread
from zojax.testing import loss, parameters
from zojax.trajectory import Recorder

SLOPES = [np.array(x, np.float32) for x in ([3.0, -1.0, 0.5], [0.0, 2.0, -4.0], [1.0, 1.0, 1.0])]


def oracle_rms(history):
    squares = [np.mean(slopes**2) for slopes in history]
    v = 0.0
    for square in squares:
        v = 0.99 * v + 0.01 * square
    return history[-1] / (np.sqrt(v / (1 - 0.99 ** len(history))) + 1e-8)


def oracle_spread(history):
    deviations = [np.std(slopes, ddof=1) for slopes in history]
    mean = 0.0
    for deviation in deviations:
        mean = 0.99 * mean + 0.01 * deviation
    floor = 0.1 * mean / (1 - 0.99 ** len(history))
    return history[-1] / max(deviations[-1], floor, 1e-8)


FORMULAS = {
    "sign": (sign(), lambda history: np.sign(history[-1])),
    "clip": (clip(2.0), lambda history: np.clip(history[-1], -2.0, 2.0)),
    "rms": (rms(), oracle_rms),
    "spread": (spread(), oracle_spread),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", FORMULAS)
def test_follows_the_formula(name):
    rule, oracle = FORMULAS[name]
    state = rule.init(jnp.zeros(3))
    for step in range(1, len(SLOPES) + 1):
        found, state = rule.update(jnp.asarray(SLOPES[step - 1]), state)
        assert found.dtype == jnp.float32
        expected = oracle([x.astype(np.float64) for x in SLOPES[:step]])
        np.testing.assert_allclose(found, expected, rtol=2e-4)


@partial(quick_jit, static_argnums=(0,))
def step(tx, scale, params, state):
    recorder = Recorder()
    updates, state = tx.update(
        None, state, params, value_fn=lambda p: scale * loss(p), meter=recorder
    )
    return optax.apply_updates(params, updates), state, recorder.scalars


def run(tx, scale, steps=6):
    params = parameters()
    state = tx.init(params)
    for _ in range(steps):
        params, state, _ = step(tx, scale, params, state)
    return params, state


@pytest.mark.parametrize("name", ["rms", "spread", "sign"])
@pytest.mark.parametrize("difference", slow_except(["central", "centred"], "centred"))
def test_the_scale_of_the_loss_does_not_matter(name, difference):
    """So one learning rate fits losses of any unit; a power of two, to see rounding alone."""
    tx = zojax.mezo(1e-3, eps=1e-2, key=0, num_queries=3, slope_rule=name, difference=difference)
    once, _ = run(tx, 1.0)
    again, _ = run(tx, 1024.0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), once, again)
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: jnp.abs(a - b).max(), once, parameters()))
    assert max(map(float, moved)) > 1e-3


@pytest.mark.parametrize("rule", ["sign", "clip", "rms", "spread"])
@pytest.mark.parametrize("difference", slow_except(["central", "centred"], "centred"))
def test_equal_losses_give_no_step(rule, difference):
    tx = zojax.mezo(1.0, eps=1e-2, key=0, num_queries=3, slope_rule=rule, difference=difference)
    params = parameters()
    updates, state = tx.update(
        None, tx.init(params), params, value_fn=lambda p: jnp.float32(2.0) + 0.0 * loss(p)
    )
    assert all(bool((u == 0).all()) for u in jax.tree.leaves(updates))
    for leaf in jax.tree.leaves(state[0].slope_rule):
        assert bool(jnp.isfinite(leaf))


def test_a_step_without_a_usable_slope_leaves_the_rule_as_it_was():
    tx = zojax.mezo(1e-2, eps=1e-2, key=0, num_queries=3, slope_rule="spread")
    params, state = run(tx, 1.0, steps=3)
    after, later, _ = step(tx, np.nan, params, state)
    for name in ("count", "mean"):
        assert getattr(later[0].slope_rule, name) == getattr(state[0].slope_rule, name)
    jax.tree.map(np.testing.assert_array_equal, after, params)
    assert bool(later[0].rested)


OPTAX = {
    "clip": optax.clip(0.5),
    "scale_by_rms": optax.scale_by_rms(),
    "trace": optax.trace(0.9),
    "ema": optax.ema(0.9),
    "chain": optax.chain(optax.trace(0.9), optax.clip(1.0)),
}


@pytest.mark.parametrize("name", OPTAX)
def test_rules_of_optax_work_unchanged(name):
    """On the slopes they are what they are on any array."""
    rule = OPTAX[name]
    tx = zojax.spsa(1e-2, key=0, num_queries=3, slope_rule=rule)
    plain = zojax.spsa(1e-2, key=0, num_queries=3)
    params = parameters()
    state, plain_state, own = tx.init(params), plain.init(params), rule.init(jnp.zeros(3))
    for _ in range(3):
        recorder = Recorder()
        estimate, state = tx.update(None, state, params, value_fn=loss, meter=recorder)
        with jax.numpy_dtype_promotion("standard"):
            expected, own = rule.update(recorder.scalars, own, None)
        # The same slopes, given to spsa as if it had measured them.
        wanted, plain_state = plain.update(None, plain_state, params, meter=given(expected))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), estimate, wanted
        )


def given(slopes):
    def meter(kind, size, measure):
        del measure
        assert (kind, size) == ("slopes", 3)
        return zojax.trajectory.Measured(slopes, jnp.ones(3, bool), jnp.float32(0.0))

    return meter


@pytest.mark.quick
def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="clip: max_slope must be > 0"):
        clip(0.0)
    with pytest.raises(ValueError, match="rms: decay must be < 1"):
        rms(1.0)
    with pytest.raises(ValueError, match=r"spread: decay must be within \[0, 1\]"):
        spread(decay=2.0)
    with pytest.raises(ValueError, match="mezo: slope_rule must be one of"):
        zojax.mezo(1e-3, eps=1e-3, key=0, slope_rule="spreads")
    with pytest.raises(ValueError, match="spread: num_queries must be >= 2, got 1"):
        zojax.mezo(1e-3, eps=1e-3, key=0, slope_rule="spread").init(parameters())
    with pytest.raises(ValueError, match="blockwise: slope_rule must be None with in_turn"):
        zojax.zo_sgd_blockwise(1e-3, eps=1e-3, key=0, slope_rule="sign")


def test_a_rule_must_give_a_number_for_each_slope():
    mean = optax.stateless(lambda slopes, params: jnp.mean(slopes))
    tx = zojax.spsa(1e-2, key=0, num_queries=3, slope_rule=mean)
    params = parameters()
    with pytest.raises(ValueError, match=r"spsa: slope_rule must give a number for each of the 3"):
        tx.update(None, tx.init(params), params, value_fn=loss)

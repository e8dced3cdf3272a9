"""One loss a step, against the last."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import draws_at

import zojax

HESSIAN = jnp.array([1.0, 4.0, 9.0])
X = jnp.array([1.0, -2.0, 0.5])


def quadratic(x):
    return 0.5 * jnp.sum(HESSIAN * x * x)


def test_follows_the_formula():
    eps, x = 0.25, X
    tx = zojax.one_point(eps, key=3)
    state, last = tx.init(x), None
    for count in range(20):
        draws = draws_at(zojax.Gaussian(), jax.random.key(3), jnp.int32(count), 1, x)
        z = np.asarray(draws.query(0)[0].draw(x.shape), np.float64)
        loss = 0.5 * np.sum(np.asarray(HESSIAN) * (np.asarray(x, np.float64) + eps * z) ** 2)
        gradient, state = tx.update(None, state, x, value_fn=quadratic)
        expected = 0.0 * z if last is None else (loss - last) / eps * z
        # The losses are float32, so their difference over eps is good to some ulp(L) / eps.
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6 * max(loss, 1) / eps)
        np.testing.assert_allclose(state.value, loss, rtol=1e-6)
        last, x = loss, x - 0.01 * gradient
        assert int(state.count) == count + 1


def test_unbiased_given_the_last_loss():
    tx = zojax.one_point(0.1, key=0)
    state = tx.init(X)._replace(feedback=quadratic(X))

    def draw(count):
        return tx.update(None, state._replace(count=count), X, value_fn=quadratic)[0]

    draws = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(20_000)), np.float64)
    z_score = (draws.mean(0) - jax.grad(quadratic)(X)) / (draws.std(0) / np.sqrt(len(draws)))
    np.testing.assert_array_less(np.abs(z_score), 4.5)


def test_evaluates_once_and_passes_over_a_loss_that_is_not_finite():
    calls = []
    tx = zojax.one_point(0.1, key=0, evaluation="in_place")

    def value_fn(x):
        calls.append(1)
        return quadratic(x) if len(calls) != 2 else jnp.float32(jnp.nan)

    state = tx.init(X)
    moved = []
    for _ in range(4):
        gradient, state = tx.update(None, state, X, value_fn=value_fn)
        moved.append(bool(jnp.all(jnp.isfinite(gradient))) and bool(jnp.any(gradient != 0)))
    assert len(calls) == 4
    # The first step has no feedback and the second a bad loss; the third has the first's.
    assert moved == [False, False, True, True]
    assert int(state.skipped) == 1
    assert np.isfinite(state.feedback)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"one_point: eps must be > 0 and finite, got 0\."):
        zojax.one_point(0.0, key=0)

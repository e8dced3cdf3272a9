"""Differences along every coordinate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax


def loss(p):
    return jnp.sum(p["w"] ** 2 * jnp.arange(6.0).reshape(2, 3)) + jnp.prod(p["b"]) + 3 * p["s"]


PARAMS = {"b": jnp.array([2.0, -1.0]), "s": jnp.float32(4.0), "w": jnp.ones((2, 3))}


@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
def test_is_the_gradient_of_a_quadratic(evaluation):
    tx = zojax.coordinatewise(0.125, evaluation=evaluation)
    found, state = tx.update(None, tx.init(PARAMS), PARAMS, value_fn=loss)
    expected = jax.grad(loss)(PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)
    np.testing.assert_allclose(state.value, loss(PARAMS), rtol=0.01)
    assert int(state.count) == 1


def test_error_falls_with_the_square_of_eps():
    errors = []
    for eps in (0.4, 0.2):
        tx = zojax.coordinatewise(eps)
        x = jnp.array([0.3, 1.0])
        found, _ = tx.update(None, tx.init(x), x, value_fn=lambda x: jnp.sum(jnp.exp(x)))
        errors.append(np.asarray(found - jnp.exp(x), np.float64))
    np.testing.assert_allclose(errors[0] / errors[1], 4.0, rtol=0.05)


def test_evaluates_twice_for_each_coordinate():
    calls = []
    tx = zojax.coordinatewise(0.1, evaluation="in_place")
    tx.update(None, tx.init(PARAMS), PARAMS, value_fn=lambda p: calls.append(1) or loss(p))
    assert len(calls) == 2 * 9


def test_integers_have_no_coordinates():
    tx = zojax.coordinatewise(0.125, max_size=9)
    params = {"a": jnp.arange(5), **PARAMS}
    found, _ = tx.update(None, tx.init(params), params, value_fn=loss)
    np.testing.assert_array_equal(found["a"], jnp.zeros(5, jnp.int32))
    np.testing.assert_allclose(found["w"], jax.grad(loss)(PARAMS)["w"], rtol=1e-6)


def test_a_large_problem_is_refused():
    tx = zojax.coordinatewise(0.1, max_size=8)
    message = (
        r"coordinatewise: params must hold at most max_size = 8 scalars, got 9, which is 18 "
        r"forward passes a step\. Use zojax\.spsa, or raise max_size\."
    )
    with pytest.raises(ValueError, match=message):
        tx.init(PARAMS)
    with pytest.raises(ValueError, match=message):
        tx.update(None, zojax.coordinatewise(0.1).init(PARAMS), PARAMS, value_fn=loss)
    with pytest.raises(ValueError, match="coordinatewise: eps must be > 0"):
        zojax.coordinatewise(-1.0)

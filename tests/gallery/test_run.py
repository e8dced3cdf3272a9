"""The runs: repeatable, on an equal budget, tuned by what they say."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax
from zojax import gallery

# optax's Adam takes powers of integer counts.
pytestmark = pytest.mark.usefixtures("standard_promotion")

RATES = (1e-3, 1e-2, 1e-1)


def small(*optimizers: Any, **options: Any) -> gallery.Gallery:
    settings = {"steps": 20, "seeds": 4, "learning_rates": RATES, **options}
    return gallery.run(["quadratic_rotated"], optimizers, **settings)


@pytest.mark.slow
def test_equal_seeds_give_equal_runs():
    one, same, other = (small("mezo", seed=seed).runs[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.points, same.points)
    np.testing.assert_array_equal(one.scores, same.scores)
    assert not np.array_equal(one.points, other.points)


@pytest.mark.slow
def test_runs_are_those_of_an_ordinary_loop():
    """The compiled grid of rates and seeds against one rate and one seed, step by step."""
    run = small("mezo").runs[0]
    value_fn = run.function.value
    keys = jax.random.split(jax.random.key(0), 8)
    tx = zojax.mezo(run.learning_rate, eps=gallery.EPS, key=keys[4])  # the first that is shown
    params = jnp.array(run.function.start)
    state = tx.init(params)
    for point, value in zip(run.points[0], run.values[0], strict=True):
        np.testing.assert_allclose(point, params, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(value, value_fn(point), rtol=1e-5)
        updates, state = tx.update(None, state, params, value_fn=value_fn)
        params = optax.apply_updates(params, updates)


def test_first_order_optimizers_get_the_gradient():
    run = small("sgd").runs[0]
    slope = np.asarray(jax.grad(run.function.value)(jnp.array(run.function.start)))
    expected = np.array(run.function.start) - run.learning_rate * slope
    np.testing.assert_allclose(run.points[0, 1], expected, rtol=1e-5)
    assert np.array_equal(run.points[0], run.points[-1])


def test_the_tuned_rate_is_the_best_of_the_grid():
    for run in small("adam", "mezo").runs:
        assert run.scores.shape == (3,)
        finals = []
        for rate in RATES:
            alone = small(run.optimizer.name, learning_rates=[rate]).runs[0]
            finals.append(alone.scores[0])
            if rate == pytest.approx(run.learning_rate):
                np.testing.assert_allclose(alone.values, run.values, rtol=1e-2, atol=1e-5)
        np.testing.assert_allclose(run.scores, finals, rtol=1e-2)
        assert run.learning_rate == pytest.approx(RATES[int(np.argmin(finals))])
        assert len(set(finals)) == 3


def test_the_score_is_what_three_in_four_reach_of_the_seeds_not_shown():
    def lucky(rate: Any, key: Any, steps: int) -> optax.GradientTransformation:
        del rate, steps
        step = jax.random.uniform(key)  # by the seed alone

        def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
            return jnp.array([0.0, 0.0]) * updates + jnp.array([1.0, 0.0]) * step, state

        return optax.GradientTransformation(lambda _: optax.EmptyState(), update)

    chance = gallery.Optimizer("chance", lucky, first_order=True)
    run = small(chance, steps=3, seeds=4, learning_rates=[1.0]).runs[0]
    draws = np.array([jax.random.uniform(k) for k in jax.random.split(jax.random.key(0), 8)])
    ends = np.array(run.function.start) + 2 * draws[:, None] * np.array([1.0, 0.0])
    values = np.array([run.function.value(jnp.array(end)) for end in ends])
    np.testing.assert_allclose(run.scores, np.sort(values[:4])[2], rtol=1e-5)
    np.testing.assert_allclose(run.values[:, -1], values[4:], rtol=1e-5)
    assert run.median_seed == np.argsort(values[4:])[1]
    np.testing.assert_allclose(run.quantile(0.5)[-1], np.sort(values[4:])[1], rtol=1e-5)


def test_who_evaluates_more_takes_fewer_steps():
    found = small("mezo", "zo_sgd_conservative")
    mezo, conservative = found.runs
    assert (mezo.values.shape, conservative.values.shape) == ((4, 21), (4, 9))
    assert mezo.forward_passes[-1] == conservative.forward_passes[-1] == 40


@pytest.mark.parametrize("name", gallery.OPTIMIZERS)
def test_a_named_optimizer_evaluates_as_often_as_it_says(name: str):
    optimizer = gallery.OPTIMIZERS[name]
    counted = []

    def value(p: Any) -> Any:
        jax.debug.callback(lambda: counted.append(1))
        return jnp.sum(p**2)

    if optimizer.first_order or name == "forward_gradient_sgd":
        assert optimizer.cost == 3  # a gradient, or a Jacobian-vector product
        return
    tx = optax.with_extra_args_support(optimizer.make(jnp.float32(0.1), jax.random.key(0), 10))
    params = jnp.ones(2)
    jax.block_until_ready(tx.update(None, tx.init(params), params, value_fn=value))
    jax.effects_barrier()
    assert len(counted) == optimizer.cost


# By default those that do not descend in tests/test_contract.py, and two that do.
@pytest.mark.parametrize(
    "name",
    slow_except(
        gallery.OPTIMIZERS.keys(),
        *("mezo", "zo_adamu", "zo_sgd_sign", "zo_sgd_momentum"),
        "zo_adamm",
    ),
)
def test_every_named_optimizer_descends(name: str):
    [row] = small(name).rows()
    start = gallery.FUNCTIONS["quadratic_rotated"]
    assert row["final value, median"] < 0.5 * start.value(jnp.array(start.start))


def test_divergence_is_no_result():
    grid = [1e-2, 1e9]
    run = small("sgd", learning_rates=grid).runs[0]
    assert np.isinf(run.scores[1])
    assert run.learning_rate == pytest.approx(1e-2)
    [row] = small("sgd", learning_rates=[1e9]).rows()
    assert [row[k] for k in list(row)[3:]] == [None] * 3


@pytest.mark.parametrize(
    ("functions", "optimizers", "options", "message"),
    [
        (["bale"], ["mezo"], {}, "functions must be among absolute, .*, got 'bale'"),
        (["beale"], ["mzo"], {}, "optimizers must be among adam, .*, got 'mzo'"),
        (["beale"], ["mezo", "mezo"], {}, "optimizers must be different names, at least one"),
        ([], ["mezo"], {}, "functions must be different names, at least one"),
        (["beale"], ["mezo"], {"steps": 1}, "steps must be >= 2, two steps of mezo, got 1"),
        (["beale"], ["mezo", "sgd"], {"steps": 2}, "steps must be >= 3, two steps of sgd, got 2"),
        (["beale"], ["mezo"], {"seeds": 0}, "seeds must be >= 1, got 0"),
        (["beale"], ["mezo"], {"learning_rates": []}, "learning_rates must not be empty"),
        (["beale"], ["mezo"], {"learning_rates": [0.0]}, "learning_rates must be > 0"),
    ],
)
def test_bad_arguments_are_refused(functions: Any, optimizers: Any, options: Any, message: str):
    with pytest.raises(ValueError, match=f"gallery: {message}"):
        gallery.run(functions, optimizers, **options)


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match=r"optimizers must be names or zojax\.gallery\.Optimizer"):
        gallery.run(["beale"], [optax.adam])

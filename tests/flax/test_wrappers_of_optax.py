"""optax's wrappers: those that work, and those that an estimator refuses with the page."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 12).reshape(4, 3), "b": jnp.ones(3)}
MATRICES = {"w": True, "b": False}


def loss(params):
    return jnp.sum(params["w"] ** 2) + jnp.sum(params["b"] ** 2)


def mezo(learning_rate=1e-2, **options):
    return zojax.mezo(learning_rate, eps=1e-3, **{"key": 0, **options})


def stepper(tx):
    @jax.jit
    def step(params, state):
        updates, state = tx.update(None, state, params, value_fn=loss)
        return optax.apply_updates(params, updates), state

    return step


LABELS = {"w": "moves", "b": "stays"}
HOLES = {
    "masked": lambda tx: optax.masked(tx, MATRICES),
    "masked by a function": lambda tx: optax.masked(
        tx, lambda params: jax.tree.map(lambda x: x.ndim > 1, params)
    ),
    "partition": lambda tx: optax.partition({"moves": tx, "stays": optax.set_to_zero()}, LABELS),
    "around select": lambda tx: optax.masked(zojax.select(tx, "w"), MATRICES),
}


@pytest.mark.quick
@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("around", HOLES)
@pytest.mark.parametrize("make", [mezo, partial(zojax.zo_adamu, 1e-2, eps=1e-3, key=0)])
def test_a_tree_with_holes_is_refused(make, around):
    name = "zo_adamu" if isinstance(make, partial) else "mezo"
    message = rf"^{name}: params must be the whole tree, .*zojax\.select .*docs/flax\.md shows how"
    with pytest.raises(ValueError, match=message):
        HOLES[around](make()).init(PARAMS)


@pytest.mark.usefixtures("standard_promotion")
def test_select_is_what_masked_would_be():
    tx = zojax.select(mezo(), MATRICES)
    moved, _ = stepper(tx)(PARAMS, tx.init(PARAMS))
    assert np.array_equal(moved["b"], PARAMS["b"])
    assert not np.array_equal(moved["w"], PARAMS["w"])


@pytest.mark.usefixtures("standard_promotion")
def test_masked_and_partition_may_stand_behind_the_estimator():
    estimator = zojax.spsa(1e-3, key=0)
    rates = optax.partition({"moves": optax.sgd(1.0), "stays": optax.sgd(0.0)}, LABELS)
    plain, parted = (zojax.chain(estimator, tail) for tail in (optax.sgd(1.0), rates))
    (whole, _), (moved, _) = (stepper(tx)(PARAMS, tx.init(PARAMS)) for tx in (plain, parted))
    assert np.array_equal(moved["w"], whole["w"])
    assert np.array_equal(moved["b"], PARAMS["b"])


def injected(function, **options):
    return optax.inject_hyperparams(function, **options)


INJECTED = {
    "a function of the rate": lambda: injected(
        lambda learning_rate: mezo(learning_rate, num_queries=2)
    )(learning_rate=1e-2),
    "static arguments": lambda: injected(zojax.mezo, static_args=("key", "num_queries"))(
        1e-2, eps=1e-3, key=jax.random.key(0), num_queries=2
    ),
}


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", INJECTED)
def test_a_rate_changes_while_the_program_stays(name):
    tx = INJECTED[name]()
    step, state = stepper(tx), tx.init(PARAMS)
    for rate in (1e-2, 2e-2):
        state.hyperparams["learning_rate"] = jnp.float32(rate)
        own = mezo(rate, num_queries=2)
        expected, _ = stepper(own)(PARAMS, own.init(PARAMS))
        found, _ = step(PARAMS, state)
        for leaf in PARAMS:
            np.testing.assert_allclose(found[leaf], expected[leaf], rtol=1e-6)
    assert step._cache_size() == 1


@pytest.mark.usefixtures("standard_promotion")
def test_a_rate_of_the_tail_changes_too():
    tx = zojax.chain(zojax.spsa(1e-3, key=0), optax.inject_hyperparams(optax.sgd)(1e-2))
    step, state = stepper(tx), tx.init(PARAMS)
    state[1].hyperparams["learning_rate"] = jnp.float32(0.0)
    stayed, _ = step(PARAMS, state)
    assert all(np.array_equal(stayed[leaf], PARAMS[leaf]) for leaf in PARAMS)


def test_what_it_makes_an_array_of_is_refused():
    message = r"^mezo: num_queries must be a Python int, .*inject_hyperparams .*docs/flax\.md shows"
    with pytest.raises(TypeError, match=message):
        injected(zojax.mezo)(1e-2, eps=1e-3, key=0).init(PARAMS)
    # Called as a schedule, with the step for the parameters, this mask is False.
    mask = partial(jax.tree.map, lambda x: jnp.ndim(x) > 1)
    tx = injected(zojax.mezo, static_args="num_queries")(
        1e-2, eps=1e-3, key=0, weight_decay=0.1, mask=mask
    )
    message = r"^mezo: mask must be a function of the parameters .*docs/flax\.md shows"
    with pytest.raises(TypeError, match=message):
        tx.init(PARAMS)


@pytest.mark.usefixtures("standard_promotion")
def test_multi_steps_around_the_tail_takes_the_mean_of_the_estimates():
    estimator = zojax.spsa(1e-3, key=0)
    tail = optax.MultiSteps(optax.sgd(1.0), every_k_schedule=2).gradient_transformation()
    tx = zojax.chain(estimator, tail)
    step, state, own = stepper(tx), tx.init(PARAMS), estimator.init(PARAMS)
    estimate = jax.jit(lambda own: estimator.update(None, own, PARAMS, value_fn=loss))
    estimates = []
    for _ in range(2):
        estimated, own = estimate(own)
        estimates.append(estimated)
    first, state = step(PARAMS, state)
    assert all(np.array_equal(first[leaf], PARAMS[leaf]) for leaf in PARAMS)
    second, _ = step(first, state)
    for leaf, start in PARAMS.items():
        mean = (estimates[0][leaf] + estimates[1][leaf]) / 2
        np.testing.assert_allclose(second[leaf], start - mean, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("standard_promotion")
def test_multi_steps_around_the_whole_fails_as_the_page_says():
    tx = optax.MultiSteps(mezo(), every_k_schedule=2)
    with pytest.raises(ValueError, match=r"^pytree structure error.*\n.*\n.*\n.*\n.*\n.*NoneType"):
        tx.update(None, tx.init(PARAMS), PARAMS, value_fn=loss)


def test_seeds_and_rates_run_at_once():
    def run(seed, rate):
        tx = mezo(rate, key=seed)
        params, state = PARAMS, tx.init(PARAMS)
        for _ in range(2):
            updates, state = tx.update(None, state, params, value_fn=loss)
            params = optax.apply_updates(params, updates)
        return params, zojax.last_loss(state)

    seeds, rates = jnp.arange(3), jnp.array([1e-3, 1e-2, 1e-1])
    params, losses = jax.jit(jax.vmap(run))(seeds, rates)
    assert losses.shape == (3,)
    alone = jax.jit(run)
    for i in range(3):
        expected, own = alone(seeds[i], rates[i])
        np.testing.assert_allclose(losses[i], own, rtol=1e-5)
        for leaf in PARAMS:
            np.testing.assert_allclose(params[leaf][i], expected[leaf], rtol=1e-4, atol=1e-6)

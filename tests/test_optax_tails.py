"""Every optimizer of optax is a tail for an estimator."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax

RATE = 1e-2

TAILS = {
    "sgd": lambda: optax.sgd(RATE),
    "adam": lambda: optax.adam(RATE),
    "adamw": lambda: optax.adamw(RATE),
    "adamax": lambda: optax.adamax(RATE),
    "rmsprop": lambda: optax.rmsprop(RATE),
    "lion": lambda: optax.lion(RATE),
    "adafactor": lambda: optax.adafactor(RATE, min_dim_size_to_factor=4),
    "amsgrad": lambda: optax.amsgrad(RATE),
    "sm3": lambda: optax.sm3(RATE),
    "novograd": lambda: optax.novograd(RATE),
    "lamb": lambda: optax.lamb(RATE),
    "schedule-free": lambda: optax.contrib.schedule_free(optax.sgd(RATE), RATE),
}

ESTIMATORS = {
    "spsa": lambda: zojax.spsa(1e-2, key=0, num_queries=4),
    "sparse": lambda: zojax.spsa(1e-2, key=0, num_queries=4, direction=zojax.Sparse()),
    "forward_gradient": lambda: zojax.forward_gradient(key=0, num_queries=4),
}

pytestmark = pytest.mark.usefixtures("standard_promotion")  # optax divides integers by floats


def params():
    keys = jax.random.split(jax.random.key(1), 2)
    return {"w": jax.random.normal(keys[0], (8, 4)), "b": jax.random.normal(keys[1], (4,))}


def loss(p):
    return 0.5 * (jnp.sum(p["w"] ** 2) + jnp.sum((p["b"] - 1.0) ** 2))


@pytest.mark.parametrize(
    "make",
    slow_except(TAILS, "sgd", "adam", "adafactor", "schedule-free"),
)
@pytest.mark.parametrize("selected", slow_except({"all": False, "selected": True}, "selected"))
def test_a_chain_with_spsa(make, selected):
    check(optax.chain(ESTIMATORS["spsa"](), make()), make, selected)


@pytest.mark.parametrize("estimator", ["sparse", "forward_gradient"])
def test_a_chain_with_other_estimators(estimator):
    check(optax.chain(ESTIMATORS[estimator](), TAILS["adam"]()), None, selected=False)


def check(tx, make, selected):
    tx = zojax.select(tx, "w") if selected else tx
    p = start = params()
    state = tx.init(p)

    @jax.jit
    def step(p, state):
        updates, state = tx.update(None, state, p, value_fn=loss)
        return optax.apply_updates(p, updates), updates, state

    if make is not None:
        # The first step is the tail's own step on the estimate.
        estimator, tail = ESTIMATORS["spsa"](), make()
        estimator = zojax.select(estimator, "w") if selected else estimator
        estimate, _ = estimator.update(None, estimator.init(p), p, value_fn=loss)
        if selected:
            estimate, p = {"w": estimate["w"]}, {"w": p["w"]}
        expected, _ = tail.update(estimate, tail.init(p), p)
        _, updates, _ = step(start, state)
        for name in p:
            np.testing.assert_allclose(updates[name], expected[name], rtol=2e-3, atol=1e-6)
        p = start
    for _ in range(80):
        p, _, state = step(p, state)
    assert loss(p) < loss(start)
    assert optax.tree_utils.tree_get(state, "value") < jnp.inf
    assert step._cache_size() == 1
    assert np.array_equal(p["b"], start["b"]) == selected

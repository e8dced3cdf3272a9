"""JAX's switches for debugging do not break a step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizers import OF_EACH_KIND, OPTIMIZERS
from sets import slow_except


def start():
    embed = jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)
    return {"embed": embed, "layers": [{"w": jnp.eye(4) * 0.5, "b": jnp.ones(4)}]}


def value_fn(p):
    x = p["embed"][jnp.array([0, 2])]
    for layer in p["layers"]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"][None])
    return jnp.mean(jax.nn.softmax(x) ** 2)


def after_steps(tx, jit, count=2):
    def step(params, state):
        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    step = jax.jit(step) if jit else step
    params = start()
    state = tx.init(params)
    for _ in range(count):
        params, state = step(params, state)
    return params


@pytest.mark.parametrize("name", slow_except(OF_EACH_KIND))
def test_steps_are_the_same_without_jit(name):
    with jax.disable_jit():
        plain = after_steps(OPTIMIZERS[name](), jit=False)
    compiled = after_steps(OPTIMIZERS[name](), jit=True)
    assert not np.array_equal(plain["embed"], start()["embed"])
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("jit", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_no_step_computes_an_infinity(name, jit):
    with jax.debug_infs(True):
        after_steps(OPTIMIZERS[name](), jit)

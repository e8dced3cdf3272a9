"""Trees with leaves that are not floating-point arrays of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at, loss_at
from optimizers import OF_EACH_KIND, OPTIMIZERS

import zojax


def with_numbers():
    layers = [{"w": np.linspace(-1.0, 1.0, 12).reshape(3, 4)}]
    return {"layers": layers, "bias": 0.5, "scale": 1.5, "times": 3}


DEFAULT = ("mezo",)


def value_fn(p):
    y = jnp.arange(3.0) @ p["layers"][0]["w"].astype(jnp.float32)
    return jnp.mean((y * p["scale"] + p["bias"]) ** 2) * p["times"].astype(jnp.float32)


def one_step(tx, params, jit):
    def step(params):
        state = tx.init(params)
        for _ in range(2):
            updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates)

    return jax.jit(step)(params) if jit else step(params)


# optax multiplies the zeros of integers by its learning rate.
@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize(
    ("name", "evaluation"),
    [
        pytest.param(name, "streamed", marks=() if name in DEFAULT else pytest.mark.slow)
        for name in (*OF_EACH_KIND, "coordinatewise")
    ]
    + [
        pytest.param(name, other, marks=() if name == "mezo" else pytest.mark.slow)
        for name in ("mezo", "zo_adamu")
        for other in ("copy", "in_place")
    ],
)
def test_python_numbers_and_numpy_arrays_move_as_arrays(name, evaluation):
    params = with_numbers()
    as_arrays = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), params)
    jits = (False,) if evaluation == "in_place" else (False, True)
    expected = one_step(OPTIMIZERS[name](evaluation=evaluation), as_arrays, jits[-1])
    assert expected["scale"] != 1.5
    for jit in jits:
        found = one_step(OPTIMIZERS[name](evaluation=evaluation), params, jit)
        assert found["times"] == 3
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("evaluation", ["streamed", "copy"])
def test_a_number_is_no_weaker_at_the_first_step_than_at_the_second(evaluation):
    dtypes = []

    def value_fn(p):
        with jax.numpy_dtype_promotion("standard"):
            y = jnp.ones(3, jnp.bfloat16) * p["scale"]
        dtypes.append(y.dtype)
        return jnp.sum(y.astype(jnp.float32))

    params = {"scale": 1.5}
    tx = zojax.mezo(1e-2, eps=1e-2, key=0, evaluation=evaluation)
    for _ in range(2):
        updates, _ = tx.update(None, tx.init(params), params, value_fn=value_fn)
        params = optax.apply_updates(params, updates)
    assert {*dtypes} == {jnp.dtype("float32")}


@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
def test_keys_and_complex_numbers_stay(evaluation):
    params = {
        "a key": jax.random.key(3),
        "complex": jnp.array([1.0 + 2.0j, -0.5j]),
        "legacy key": jax.random.PRNGKey(1),
        "w": jnp.linspace(-1.0, 1.0, 100).reshape(50, 2),
    }

    def value_fn(p):
        kept = jax.random.bernoulli(p["a key"], 0.5, p["w"].shape)
        y = jnp.sum(jnp.where(kept, p["w"], 0.0), axis=0).astype(jnp.complex64)
        return jnp.sum(jnp.abs(y * p["complex"])) + jax.random.uniform(p["legacy key"])

    draws = draws_at(zojax.Gaussian(), jax.random.key(0), jnp.int32(0), 1, params)
    assert [noise is not None for noise in draws.query(0)] == [False, False, False, True]
    loss = loss_at(value_fn, params, evaluation)
    found = [loss(draws.query(0), scale)[0] for scale in (0.0, 0.1, -0.1)]
    [z] = [noise.draw((50, 2)) for noise in draws.query(0) if noise is not None]
    expected = [value_fn({**params, "w": params["w"] + s * z}) for s in (0.0, 0.1, -0.1)]
    np.testing.assert_allclose(jnp.stack(found), jnp.stack(expected), rtol=1e-5)
    # Rewriting a copy in place has not taken what it shares with the tree.
    assert params["a key"] == jax.random.key(3)
    assert params["complex"][0] == 1.0 + 2.0j

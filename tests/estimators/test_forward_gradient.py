"""The forward gradient: exact slopes, unbiased, without a backward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at
from sets import slow_except

import zojax
from zojax import planning

LIMIT = 4.5  # standard errors


def network(p, x):
    for layer in p["layers"]:
        x = jnp.tanh(x @ layer["w"] + layer["b"][None])
    return jnp.sum(jax.nn.softmax(x @ p["head"]) ** 2)


def problem(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(1), 4)
    layers = [{"w": jax.random.normal(k, (8, 8), dtype), "b": jnp.ones(8, dtype)} for k in keys[:2]]
    params = {"layers": layers, "head": jax.random.normal(keys[2], (8, 3), dtype)}
    return params, jax.random.normal(keys[3], (4, 8), dtype)


def directions(params, count, queries):
    draws = draws_at(zojax.Gaussian(), jax.random.key(5), jnp.int32(count), queries, params)
    for query in range(queries):
        leaves = [
            noise.draw(leaf.shape)
            for noise, leaf in zip(draws.query(query), jax.tree.leaves(params), strict=True)
        ]
        yield jax.tree.unflatten(jax.tree.structure(params), leaves)


@pytest.mark.parametrize("evaluation", slow_except(["streamed", "copy"], "streamed"))
@pytest.mark.parametrize("queries", [1, 3])
def test_is_the_directional_derivative_along_its_own_direction(evaluation, queries):
    params, x = problem()
    tx = zojax.forward_gradient(key=5, num_queries=queries, evaluation=evaluation)
    state = tx.init(params)._replace(count=jnp.int32(7))
    found, state = tx.update(None, state, params, value_fn=lambda p: network(p, x))
    exact = jax.grad(network)(params, x)
    expected = jax.tree.map(jnp.zeros_like, params)
    for z in directions(params, 7, queries):
        slope = optax.tree_utils.tree_vdot(exact, z)
        expected = jax.tree.map(lambda e, z, s=slope: e + s * z / queries, expected, z)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected
    )
    np.testing.assert_allclose(state.value, network(params, x), rtol=1e-6)
    assert int(state.count) == 8


def test_differentiates_through_loops_lookups_and_custom_rules():
    params = {"table": jnp.linspace(-1.0, 1.0, 20).reshape(5, 4), "stack": jnp.full((3, 4, 4), 0.2)}
    rows = jnp.array([0, 3, 3])

    @jax.custom_jvp
    def square(x):
        return x * x

    square.defjvp(lambda x, tangents: (x[0] * x[0], 2 * x[0] * tangents[0]))

    def loss(p):
        x = p["table"][rows]
        x, _ = jax.lax.scan(lambda x, w: (jax.nn.gelu(x @ square(w)), None), x, p["stack"])
        x = jax.checkpoint(lambda x: jax.nn.relu(x) + x)(x)
        return jax.nn.logsumexp(x)

    tx = zojax.forward_gradient(key=5)
    found, _ = jax.jit(lambda p: tx.update(None, tx.init(p), p, value_fn=loss))(params)
    exact, [z] = jax.grad(loss)(params), directions(params, 0, 1)
    slope = optax.tree_utils.tree_vdot(exact, z)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, slope * b, rtol=1e-5, atol=1e-6), found, z
    )


def test_unbiased_and_of_the_size_it_says():
    hessian, x = jnp.array([1.0, 4.0, 9.0]), jnp.array([1.0, -2.0, 0.5])
    tx = zojax.forward_gradient(key=0)
    state = tx.init(x)

    def value_fn(v):
        return 0.5 * jnp.sum(hessian * v * v)

    def draw(count):
        return tx.update(None, state._replace(count=count), x, value_fn=value_fn)[0]

    draws = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(20_000)), np.float64)
    exact = np.asarray(hessian * x)
    z_score = (draws.mean(0) - exact) / (draws.std(0) / np.sqrt(len(draws)))
    np.testing.assert_array_less(np.abs(z_score), LIMIT)
    squares = np.sum(draws**2, axis=1)
    expected = (3 + 2) * np.sum(exact**2)
    assert abs(squares.mean() - expected) / (squares.std() / np.sqrt(len(squares))) < LIMIT


@pytest.mark.slow
def test_keeps_no_activation_for_a_backward_pass():
    width, depth = 32, 24
    params = {"layers": [jax.ShapeDtypeStruct((width, width), jnp.float32)] * depth}
    x = jax.ShapeDtypeStruct((8192, width), jnp.float32)

    def loss(p, x):
        for w in p["layers"]:
            x = jnp.sin(x @ w)
        return jnp.sum(x * x)

    def forward_mode(p, x):
        tx = zojax.forward_gradient_sgd(0.1, key=0)
        updates, _ = tx.update(None, tx.init(p), p, value_fn=lambda p: loss(p, x))
        return optax.apply_updates(p, updates)

    def backward(p, x):
        return jax.tree.map(lambda a, b: a - 0.1 * b, p, jax.grad(loss)(p, x))

    options = zojax.compiler_options()
    forward, backward, inference = (
        planning.memory(jax.jit(f, compiler_options=options).lower(params, x).compile()).temp
        for f in (forward_mode, backward, loss)
    )
    activation = 8192 * width * 4
    assert forward < inference + 4 * activation
    assert backward > depth * activation


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="forward_gradient: evaluation must be one of"):
        zojax.forward_gradient(key=0, evaluation="in_place")
    with pytest.raises(ValueError, match="forward_gradient_sgd: num_queries must be >= 1, got 0"):
        zojax.forward_gradient_sgd(1.0, key=0, num_queries=0)
    tx = zojax.forward_gradient(key=0)
    with pytest.raises(TypeError, match="forward_gradient: update needs value_fn"):
        tx.update(None, tx.init(jnp.ones(1)), jnp.ones(1))

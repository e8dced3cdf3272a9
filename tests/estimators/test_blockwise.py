"""Blocks one after the other: each with its own losses and its own noise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at

import zojax


def params():
    keys = jax.random.split(jax.random.key(0), 4)
    embed, first, second, head = (jax.random.normal(k, (4, 3)) for k in keys)
    return {"embed": embed, "layers": [first, second], "out": head}


def value_fn(p):
    first, second = p["layers"]
    return jnp.sum(jnp.cos(p["embed"]) * first) + jnp.sum((second * p["out"] + first) ** 2)


def as_float64(tree):
    return [np.asarray(x, np.float64) for x in jax.tree.leaves(tree)]


def oracle_value(leaves):
    embed, first, second, out = leaves
    return np.sum(np.cos(embed) * first) + np.sum((second * out + first) ** 2)


@pytest.mark.parametrize("in_turn", [True, False])
@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
def test_follows_the_formula(in_turn, evaluation):
    eps, rate, steps = 0.05, 0.02, 3 if evaluation != "streamed" else 20
    tx = zojax.zo_sgd_blockwise(rate, eps=eps, key=5, in_turn=in_turn, evaluation=evaluation)
    theta, state = params(), tx.init(params())

    def update(theta, state):
        return tx.update(None, state, theta, value_fn=value_fn)

    update = update if evaluation == "in_place" else jax.jit(update)
    for count in range(steps):
        draws = draws_at(zojax.Gaussian(), jax.random.key(5), jnp.int32(count), 1, theta)
        z = [np.asarray(noise.draw((4, 3)), np.float64) for noise in draws.query(0)]
        start = as_float64(theta)
        after = [x.copy() for x in start]
        losses = []
        for block in range(4):
            here = after if in_turn else start
            both = []
            for sign in (1, -1):
                point = [x + sign * eps * z[i] * (i == block) for i, x in enumerate(here)]
                both.append(oracle_value(point))
            after[block] = start[block] - rate * (both[0] - both[1]) / (2 * eps) * z[block]
            losses += both
        updates, state = update(theta, state)
        theta = optax.apply_updates(theta, updates)
        # Losses near 50 in float32 are good to 4e-6, which rate / eps times |z| scales.
        for found, expected in zip(jax.tree.leaves(theta), after, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-5)
        # A loss is a sum of 24 terms of the order of 1, which may cancel.
        np.testing.assert_allclose(state[0].value, np.mean(losses), rtol=1e-6, atol=1e-6)


def test_blocks_of_one_shape_have_independent_noise():
    """The published code resets one seed for each block, so that they share z."""
    size = 20_000
    p = {"layers": [jnp.zeros(size) for _ in range(3)]}
    tx = zojax.blockwise(1.0, key=3)
    found, _ = tx.update(
        None, tx.init(p), p, value_fn=lambda p: sum(jnp.sum(x[:4]) for x in p["layers"])
    )
    correlation = np.corrcoef(np.stack(found["layers"]))
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 4.5 / np.sqrt(size)


def test_two_forward_passes_for_each_block():
    calls = []
    tx = zojax.zo_sgd_blockwise(0.1, eps=0.1, key=0, evaluation="in_place")
    p = params()
    tx.update(None, tx.init(p), p, value_fn=lambda p: calls.append(1) or value_fn(p))
    assert len(calls) == 2 * 4


def test_blocks_by_label():
    p, probed = params(), []

    def loss(q):
        pairs = zip(jax.tree.leaves(p), jax.tree.leaves(q), strict=True)
        probed.append([bool(jnp.any(a != b)) for a, b in pairs])
        return value_fn(q)

    def top(path, leaf):
        return path.split("/")[0]

    tx = zojax.blockwise(0.1, key=3, blocks=top, evaluation="in_place")
    tx.update(None, tx.init(p), p, value_fn=loss)
    first, second, third = [True] + [False] * 3, [False, True, True, False], [False] * 3 + [True]
    assert probed == [first, first, second, second, third, third]


def test_an_estimate_has_the_variance_of_its_block():
    p = {"layers": [jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0, 1.0])]}
    tx = zojax.blockwise(1e-2, key=0)
    state = tx.init(p)

    def draw(count):
        def loss(p):
            return 0.5 * sum(jnp.sum(x * x) for x in p["layers"])

        return tx.update(None, state._replace(count=count), p, value_fn=loss)[0]

    found = jax.jit(jax.vmap(draw))(jnp.arange(20_000))
    for layer, draws in zip(p["layers"], found["layers"], strict=True):
        squares = np.sum(np.asarray(draws, np.float64) ** 2, axis=1)
        expected = (layer.size + 2) * float(jnp.sum(layer**2))
        assert abs(squares.mean() - expected) / (squares.std() / np.sqrt(20_000)) < 4.5


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="blockwise: no parameter's path has a numbered layer"):
        zojax.blockwise(1e-3, key=0).init({"w": jnp.ones(3)})
    with pytest.raises(ValueError, match="blockwise: in_turn must be >= 0"):
        zojax.blockwise(1e-3, key=0, in_turn=-1.0)

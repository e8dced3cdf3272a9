"""An optimizer's state lies as its parameters do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from optimizers import OPTIMIZERS
from sharded import mesh_of_eight

from zojax import testing


def sharded_parameters():
    params = testing.parameters()
    mesh = mesh_of_eight("x")
    specs = {"matrix": P("x"), "nested": [P(), P()]}
    layout = jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, P)
    )
    return jax.device_put(params, layout)


def matrices(state):
    return [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (8, 4)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_init_puts_moments_where_parameters_are(name):
    tx = OPTIMIZERS[name]()
    params = sharded_parameters()
    state = jax.jit(tx.init)(params)
    for leaf in matrices(state):
        assert leaf.sharding.spec == P("x")
    # As many as there are, and the same as where nothing is compiled.
    plain = tx.init(params)
    assert len(matrices(state)) == len(matrices(plain))
    for leaf in matrices(plain):
        assert leaf.sharding.spec == P("x")


@pytest.mark.parametrize("name", ["zo_adam", "zo_adamm", "zo_sgd_momentum", "zo_adamu"])
def test_a_step_leaves_moments_where_they_are(name):
    tx = OPTIMIZERS[name]()
    params = sharded_parameters()
    state = jax.jit(tx.init)(params)
    assert matrices(state)
    step = jax.jit(testing.step_with(tx))
    for _ in range(2):
        params, state = step(params, state)
        for leaf in matrices((params, state)):
            assert leaf.sharding.spec == P("x")
    assert step._cache_size() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "compiled"), [("mezo", False), ("mezo", True), ("zo_adamu", True)]
)
def test_parameters_of_numpy_join_those_on_a_mesh(name, compiled):
    tx = OPTIMIZERS[name]()

    def step(params, state):
        def value_fn(p):
            return jnp.sum((p["matrix"] @ p["first"][:, None]) ** 2) * p["a number"]

        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state

    def two_steps(place):
        matrix = jnp.linspace(-1.0, 1.0, 32).reshape(8, 4)
        first = np.ones(4, np.float32)
        params = {"a number": 0.5, "first": first, "matrix": place(matrix)}
        state = tx.init(params)
        for _ in range(2):
            params, state = (jax.jit(step) if compiled else step)(params, state)
        return params, state

    sharding = NamedSharding(mesh_of_eight("x"), P("x"))
    spread, state = two_steps(lambda x: jax.device_put(x, sharding))
    alone, _ = two_steps(lambda x: x)
    assert spread["matrix"].sharding.is_equivalent_to(sharding, 2)
    assert {leaf.sharding.num_devices for leaf in jax.tree.leaves(state)} == {8}
    for a, b in zip(jax.tree.leaves(spread), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

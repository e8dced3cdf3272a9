"""What every optimizer promises, whatever it computes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from optimizers import NEVER_IN_PLACE, OPTIMIZERS, loss, parameters, step_with

import zojax

DTYPES = ("float32", "bfloat16")

every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def structure(tree):
    return jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)


@every_optimizer
@every_dtype
def test_keeps_dtypes_and_structure_and_compiles_once(make, dtype):
    tx = make()
    params = parameters(dtype)
    state = tx.init(params)
    step = jax.jit(step_with(tx), donate_argnums=(0, 1))
    before = structure((params, state))
    for _ in range(3):
        params, state = step(params, state)
    assert structure((params, state)) == before
    assert step._cache_size() == 1
    counts = [count for _, count in optax.tree_utils.tree_get_all_with_path(state, "count")]
    assert counts
    assert set(map(int, counts)) == {3}


def test_compiles_nothing_on_the_second_step_outside_of_jit(caplog):
    jax.clear_caches()  # the first step must be seen to compile
    for name, make in OPTIMIZERS.items():
        if name in NEVER_IN_PLACE:
            continue
        tx = make(evaluation="in_place")
        params = parameters("float32")
        step, state = step_with(tx), tx.init(params)
        for count in range(3):
            caplog.clear()
            with jax.log_compiles(), caplog.at_level("WARNING"):
                params, state = step(params, state)
            compiled = [r.message for r in caplog.records if "Compiling" in r.message]
            assert count or name != "spsa" or compiled
            assert not count or not compiled, (name, count, compiled)


@every_optimizer
def test_lowers_the_loss_and_says_its_value(make):
    # A bare estimator gives a gradient; a named optimizer has scaled it already.
    tx = optax.chain(make(), optax.sgd(0.01)) if make is OPTIMIZERS["spsa"] else make()
    params = parameters("float32")
    before = loss(params)
    state = tx.init(params)
    assert optax.tree_utils.tree_get(state, "value") == jnp.inf
    step = jax.jit(step_with(tx))
    _, first = step(params, state)
    value = optax.tree_utils.tree_get(first, "value")
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, before, rtol=0.05)
    for _ in range(60):
        params, state = step(params, state)
    assert loss(params) < before


@every_optimizer
def test_initialises_on_shapes_alone(make):
    tx = make()
    params = parameters("bfloat16")
    abstract = jax.eval_shape(tx.init, params)
    assert structure(abstract) == structure(tx.init(params))


@every_optimizer
def test_ignores_updates_and_unknown_arguments(make):
    tx = make()
    params = parameters("float32")
    state = tx.init(params)
    plain, _ = tx.update(None, state, params, value_fn=loss)
    junk = jax.tree.map(jnp.ones_like, params)
    other, _ = tx.update(junk, state, params, value_fn=loss, value=1.0, grad=None, junk="junk")
    jax.tree.map(np.testing.assert_array_equal, plain, other)


@every_optimizer
def test_runs_on_explicitly_sharded_parameters(make):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        params = parameters("float32")
        tx = make()
        alone, _ = step_with(tx)(params, tx.init(params))
        params["matrix"] = jax.device_put(
            params["matrix"], NamedSharding(mesh, PartitionSpec("x", None))
        )
        state = tx.init(params)
        moved, state = jax.jit(step_with(tx))(params, state)
        assert moved["matrix"].sharding.spec[0] == "x"
        for leaf in jax.tree.leaves(state):
            assert leaf.shape != (8, 4) or leaf.sharding.spec[0] == "x"
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), alone, moved)


@every_optimizer
def test_key_and_count_replay_a_step(make):
    tx = make()
    params = parameters("float32")
    step = jax.jit(step_with(tx))
    state = tx.init(params)
    for _ in range(3):
        params, state = step(params, state)
    once, _ = step(params, state)
    again, _ = step(params, jax.tree.map(jnp.copy, state))
    jax.tree.map(np.testing.assert_array_equal, once, again)


@pytest.mark.parametrize("name", ["mezo", "zo_adamu"])
@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_parameters_stay_the_same_bits_at_learning_rate_zero(name, evaluation, dtype):
    optimizer = {"mezo": zojax.mezo, "zo_adamu": zojax.zo_adamu}[name]
    tx = optimizer(0.0, 1e-3, 3, evaluation=evaluation)
    params = start = parameters(dtype)
    state = tx.init(params)
    step = step_with(tx)
    step = step if evaluation == "in_place" else jax.jit(step)
    for _ in range(100):
        params, state = step(params, state)
    jax.tree.map(np.testing.assert_array_equal, params, start)


@every_optimizer
@pytest.mark.usefixtures("standard_promotion")  # optax scales integer updates by a float
def test_integers_stay(make):
    tx = make()
    params = {**parameters("float32"), "steps": jnp.arange(3)}
    floats = {name: params[name] for name in ("matrix", "nested")}
    moved, _ = jax.jit(step_with(tx, lambda p: loss({**p, "steps": jnp.zeros(())})))(
        params, tx.init(params)
    )
    np.testing.assert_array_equal(moved["steps"], params["steps"])
    assert moved["steps"].dtype == params["steps"].dtype
    alone, _ = jax.jit(step_with(tx))(floats, tx.init(floats))
    # Sphere scales by the parameters that move: integers are none of them.
    np.testing.assert_array_equal(moved["matrix"], alone["matrix"])

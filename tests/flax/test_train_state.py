"""Linen: ``TrainState``, and variables that are no parameters."""

from __future__ import annotations

from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.training.train_state import TrainState

import zojax
import zojax.flax


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        x = nn.Dense(8)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(1)(nn.tanh(x))


class FullState(TrainState):
    batch_stats: Any
    dropout: jax.Array


@pytest.fixture(autouse=True)
def lenient_ranks():
    with jax.numpy_rank_promotion("allow"):  # linen's layers
        yield


@pytest.fixture(scope="module")
def data():
    x = jax.random.normal(jax.random.key(1), (32, 4))
    return x, x.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def variables(data):
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    with jax.numpy_rank_promotion("allow"):
        return Net().init(keys, data[0])


def mezo(rate: float = 1e-2, **options: Any):
    return zojax.mezo(rate, eps=1e-3, key=0, **options)


def loss_of(params, others, data):
    x, y = data
    return jnp.mean((Net().apply({"params": params, **others}, x, train=False) - y) ** 2)


def test_a_step_is_that_of_a_plain_loop(data, variables):
    others, params = flax.core.pop(variables, "params")
    tx = mezo()
    state = TrainState.create(apply_fn=Net().apply, params=params, tx=tx)
    own = tx.init(params)

    def value_fn(params):
        return loss_of(params, others, data)

    step = jax.jit(lambda state: zojax.flax.update_train_state(state, value_fn))

    @jax.jit
    def plain(params, own):
        updates, own = tx.update(None, own, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), own

    for _ in range(3):
        state, (params, own) = step(state), plain(params, own)
    assert int(state.step) == 3
    assert bytes_of(state.params) == bytes_of(params)
    assert zojax.last_loss(state) == zojax.last_loss(own)


def bytes_of(tree) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_a_subclass_carries_running_statistics_and_a_dropout_key(data, variables):
    state = FullState.create(
        apply_fn=Net().apply,
        params=variables["params"],
        tx=mezo(0.05, num_queries=4),
        batch_stats=variables["batch_stats"],
        dropout=jax.random.key(2),
    )
    x, y = data

    @jax.jit
    def step(state):
        rngs = {"dropout": jax.random.fold_in(state.dropout, state.step)}

        def forward(params):
            return state.apply_fn(
                {"params": params, "batch_stats": state.batch_stats},
                x,
                rngs=rngs,
                mutable=["batch_stats"],
            )

        def value_fn(params):
            return jnp.mean((forward(params)[0] - y) ** 2)

        _, written = forward(state.params)
        return zojax.flax.update_train_state(state, value_fn, **written)

    def loss():
        return loss_of(state.params, {"batch_stats": state.batch_stats}, data)

    before = loss()
    for _ in range(100):
        state = step(state)
    assert loss() < 0.7 * before
    # A step of the state as it was made, with Python's 0, and all those after it.
    assert step._cache_size() <= 2
    assert bytes_of(state.batch_stats) != bytes_of(variables["batch_stats"])


def test_further_arguments_reach_the_optimizer(data, variables):
    others, params = flax.core.pop(variables, "params")
    state = TrainState.create(apply_fn=None, params=params, tx=mezo(num_queries=3))
    recorder = zojax.trajectory.Recorder()
    value_fn = lambda p: loss_of(p, others, data)  # noqa: E731
    jax.eval_shape(
        lambda s: zojax.flax.update_train_state(s, value_fn, extra_args={"meter": recorder}), state
    )
    assert recorder.fields == [zojax.trajectory.Field("slopes", 3)]


def test_gradients_are_refused_with_the_page_that_shows_how(variables):
    state = TrainState.create(apply_fn=None, params=variables["params"], tx=mezo())
    with pytest.raises(TypeError, match=r"^mezo: update needs value_fn, .* docs/flax\.md shows"):
        state.apply_gradients(grads=state.params)


def test_an_optimizer_of_gradients_is_refused(variables):
    state = TrainState.create(apply_fn=None, params=variables["params"], tx=optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"^update_train_state: state\.tx must begin with an esti"):
        zojax.flax.update_train_state(state, lambda p: 0.0)


def test_scales_of_8_bits_are_refused(variables):
    params = {"params": variables["params"], "_overwrite_with_gradient": {"scale": jnp.ones(())}}
    state = TrainState.create(apply_fn=None, params=params, tx=mezo())
    with pytest.raises(ValueError, match=r"^update_train_state: params must not have '_overwrite"):
        zojax.flax.update_train_state(state, lambda p: 0.0)


WRAPPERS = {
    "mezo": lambda tx: tx,
    "subspace": lambda tx: zojax.subspace(tx, rank=2, refresh=None, key=0),
    "hybrid": lambda tx: zojax.hybrid(tx, optax.sgd(1e-3), "params/Dense_0/*"),
}


@pytest.mark.quick
@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("freeze", [dict, flax.core.freeze])
def test_whole_variables_are_refused(variables, name, freeze):
    message = rf"^{name}: params must hold parameters alone, got batch_stats, .*docs/flax\.md shows"
    with pytest.raises(ValueError, match=message):
        WRAPPERS[name](mezo()).init(freeze(variables))


def test_whole_variables_with_select_keep_their_statistics(data, variables):
    tx = zojax.select(mezo(), "params/*")

    def value_fn(variables):
        return jnp.mean((Net().apply(variables, data[0], train=False) - data[1]) ** 2)

    updates, _ = tx.update(None, tx.init(variables), variables, value_fn=value_fn)
    moved = optax.apply_updates(variables, updates)
    assert bytes_of(moved["batch_stats"]) == bytes_of(variables["batch_stats"])
    assert bytes_of(moved["params"]) != bytes_of(variables["params"])


TAKEN = {
    "variables of parameters alone": {"params": {"w": jnp.ones(3)}},
    "a tree of one's own": {"params": {"w": jnp.ones(3)}, "head": {"w": jnp.ones(3)}},
    "a layer of that name": {"batch_stats": {"w": jnp.ones(3)}},
    "a counter": {"params": {"w": jnp.ones(3)}, "cache": {"index": jnp.zeros((), jnp.int32)}},
}


@pytest.mark.parametrize("params", TAKEN.values(), ids=TAKEN)
def test_other_trees_are_taken(params):
    mezo().init(params)

"""nnx: modules with dropout, running statistics and what they sow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import zojax
import zojax.flax


class Net(nnx.Module):
    def __init__(self, rngs):
        self.a = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.b = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        hidden = self.dropout(self.norm(self.a(x)))
        self.sow(nnx.Intermediate, "hidden", hidden)
        return self.b(hidden)


# flax has another way to see what layers compute.
pytestmark = pytest.mark.filterwarnings("ignore:Using 'Module.sow:DeprecationWarning")


@pytest.fixture(autouse=True)
def lenient_ranks():
    with jax.numpy_rank_promotion("allow"):  # nnx's layers
        yield


@pytest.fixture(scope="module")
def data():
    x = jax.random.normal(jax.random.key(1), (32, 4))
    return x, x.sum(axis=1, keepdims=True)


def loss_of(module, data):
    return jnp.mean((module(data[0]) - data[1]) ** 2)


@nnx.jit
def step(module, optimizer, data):
    return zojax.flax.update_module(optimizer, module, lambda module: loss_of(module, data))


def optimizer_of(module, rate=1e-2, wrt=nnx.Param, **options):
    return nnx.Optimizer(module, zojax.mezo(rate, eps=1e-3, key=0, **options), wrt=wrt)


def bytes_of(module, kind) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(module, kind))]


def test_the_loss_goes_down_and_one_program_serves_all_steps(data):
    module = Net(nnx.Rngs(0))
    optimizer = optimizer_of(module, 0.01, num_queries=4)
    traced = []

    @nnx.jit
    def step(module, optimizer, data):
        traced.append(True)
        return zojax.flax.update_module(optimizer, module, lambda m: loss_of(m, data))

    losses = [float(step(module, optimizer, data)) for _ in range(100)]
    assert np.mean(losses[-10:]) < 0.7 * losses[0]
    assert len(traced) == 1
    assert losses[-1] == float(zojax.last_loss(optimizer.opt_state)[...])


def test_a_step_is_that_of_a_loop_that_draws_the_mask_outside(data):
    module, other = Net(nnx.Rngs(0)), Net(nnx.Rngs(0))
    optimizer = optimizer_of(module)
    tx = zojax.mezo(1e-2, eps=1e-3, key=0)
    graph, params, others = nnx.split(other, nnx.Param, ...)
    params, others = nnx.as_pure(params), nnx.as_pure(others)
    state = tx.init(params)

    @jax.jit
    def plain(params, others, state):
        def value_fn(params):
            return loss_of(nnx.merge(graph, params, others, copy=True), data)

        seen = nnx.merge(graph, params, others, copy=True)
        loss_of(seen, data)
        _, _, _, after = nnx.split(seen, nnx.Param, nnx.Intermediate, ...)
        updates, state_ = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), nnx.as_pure(after), state_

    for _ in range(3):
        step(module, optimizer, data)
        params, others, state = plain(params, others, state)
    expected = nnx.merge(graph, params, others)
    for kind in (nnx.Param, nnx.BatchStat, nnx.RngCount):
        found, wanted = (jax.tree.leaves(nnx.state(m, kind)) for m in (module, expected))
        assert len(found) > 0
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_one_mask_serves_both_ends_and_the_next_step_has_another():
    """Of a loss that is linear in the parameters at one mask, the slope is exact."""
    rngs = nnx.Rngs(0)
    module = nnx.Sequential(nnx.Linear(4, 64, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
    dropout, x = module.layers[1], jnp.ones((1, 4))
    tx = zojax.spsa(1e-3, key=0, direction="rademacher")
    optimizer = nnx.Optimizer(module, tx, wrt=nnx.Param)

    def loss_fn(module):
        return jnp.mean(module(x))

    @nnx.jit
    def measure(module, optimizer):
        graph, params, others = nnx.split(module, nnx.Param, ...)
        params = nnx.as_pure(params)
        gradient = jax.grad(lambda p: loss_fn(nnx.merge(graph, p, others, copy=True)))(params)
        recorder = zojax.trajectory.Recorder()
        zojax.flax.update_module(optimizer, module, loss_fn, meter=recorder)
        moved = nnx.as_pure(nnx.state(module, nnx.Param))
        # The update of a bare estimator is slope · z, and z is of ±1.
        slope = recorder.scalars[0]
        z = jax.tree.map(lambda new, old: jnp.round((new - old) / slope), moved, params)
        along = jax.tree.map(lambda g, z: jnp.sum(g * z), gradient, z)
        return slope, sum(jax.tree.leaves(along)), gradient, z

    masks = []
    for count in range(3):
        slope, expected, gradient, z = measure(module, optimizer)
        assert all((abs(leaf) == 1).all() for leaf in jax.tree.leaves(z))
        np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-3)
        masks.append(np.asarray(jax.tree.leaves(gradient)[0] != 0).tobytes())
        assert int(dropout.rngs.count[...]) == count + 1
    assert len({*masks}) == 3


def test_running_statistics_are_those_of_a_pass_without_perturbation(data):
    module = Net(nnx.Rngs(0))
    once = nnx.clone(module)
    once(data[0])
    step(module, optimizer_of(module, num_queries=2), data)
    for name in ("mean", "var"):
        wanted, found = getattr(once.norm, name)[...], getattr(module.norm, name)[...]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    # What it sowed would grow with every step.
    assert nnx.state(once, nnx.Intermediate)
    assert not nnx.state(module, nnx.Intermediate)


def test_what_wrt_leaves_out_stays(data):
    rngs = nnx.Rngs(0)
    module = nnx.LoRA(4, 2, 1, base_module=nnx.Linear(4, 1, rngs=rngs), rngs=rngs)
    optimizer = optimizer_of(module, wrt=nnx.LoRAParam)
    frozen = nnx.All(nnx.Param, nnx.Not(nnx.LoRAParam))
    before = bytes_of(module, frozen), bytes_of(module, nnx.LoRAParam)
    step(module, optimizer, data)
    after = bytes_of(module, frozen), bytes_of(module, nnx.LoRAParam)
    assert before[0] == after[0]
    assert len(before[0]) == 2
    assert before[1] != after[1]


def test_a_state_with_running_statistics_is_refused():
    module = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    message = r"^mezo: params must hold parameters alone, got nnx\.BatchStat, .*docs/flax\.md shows"
    with pytest.raises(ValueError, match=message):
        optimizer_of(module, wrt=nnx.Variable)
    optimizer_of(module)


def test_a_state_with_a_key_is_refused():
    with pytest.raises(TypeError, match=r"^mezo: parameter .* has dtype key.*docs/flax\.md shows"):
        zojax.mezo(1e-2, eps=1e-3, key=0).init(nnx.state(nnx.Dropout(0.5, rngs=nnx.Rngs(0))))


def test_gradients_are_refused_with_the_page_that_shows_how(data):
    module = nnx.Linear(4, 1, rngs=nnx.Rngs(0))
    gradients = nnx.grad(lambda module: loss_of(module, data))(module)
    with pytest.raises(TypeError, match=r"^mezo: update needs value_fn, .* docs/flax\.md shows"):
        optimizer_of(module).update(module, gradients)


def test_an_optimizer_of_gradients_is_refused(data):
    module = nnx.Linear(4, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)
    with pytest.raises(ValueError, match=r"^update_module: optimizer must begin with an estimator"):
        zojax.flax.update_module(optimizer, module, lambda module: loss_of(module, data))

"""States as bytes, and in orbax's checkpoints."""

from __future__ import annotations

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import zojax
import zojax.flax

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "half": jnp.ones(3, jnp.bfloat16)}
STATES = {
    "zo_adamu": lambda: zojax.zo_adamu(1e-2, eps=1e-3, key=jax.random.key(3), num_steps=10),
    "rounded by chance": lambda: zojax.chain(
        zojax.spsa(1e-3, key=jax.random.key(3, impl="rbg")),
        optax.scale(-1e-2),
        zojax.stochastic_rounding(key=4),
    ),
}


def loss(params):
    return sum(jnp.sum(x.astype(jnp.float32) ** 2) for x in jax.tree.leaves(params))


def started(tx) -> TrainState:
    state = TrainState.create(apply_fn=None, params=PARAMS, tx=tx)
    return stepped(stepped(state))


@jax.jit
def stepped(state):
    return zojax.flax.update_train_state(state, loss)


def words(tree) -> list[bytes]:
    def plain(x):
        key = jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if key else x).tobytes()

    return [plain(x) for x in jax.tree.leaves(tree)]


@pytest.mark.usefixtures("standard_promotion")  # updates to be rounded are float32
@pytest.mark.parametrize("name", STATES)
def test_a_state_comes_back_and_goes_on_with_the_same_bits(name):
    tx = STATES[name]()
    state = started(tx)
    fresh = TrainState.create(apply_fn=None, params=PARAMS, tx=tx)
    again = zojax.flax.from_bytes(fresh, zojax.flax.to_bytes(state))
    assert words(again) == words(state)
    keys = [jax.random.key_impl(s.opt_state[0].key) for s in (again, state)]
    assert keys[0] == keys[1]
    assert words(stepped(again)) == words(stepped(state))


def test_a_module_and_its_optimizer_come_back():
    def made():
        rngs = nnx.Rngs(0)
        module = nnx.Sequential(nnx.Linear(2, 3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
        return module, nnx.Optimizer(module, zojax.mezo(1e-2, eps=1e-3, key=0), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer):
        loss_fn = lambda module: jnp.mean(module(jnp.ones((4, 2))) ** 2)  # noqa: E731
        with jax.numpy_rank_promotion("allow"):
            return zojax.flax.update_module(optimizer, module, loss_fn)

    pair = made()
    step(*pair)
    encoded = zojax.flax.to_bytes(nnx.to_pure_dict(nnx.state(pair)))
    again = made()
    nnx.update(again, zojax.flax.from_bytes(nnx.to_pure_dict(nnx.state(again)), encoded))
    for both in (pair, again):
        step(*both)
    assert words(nnx.state(again)) == words(nnx.state(pair))


def test_flax_alone_cannot_write_a_key():
    with pytest.raises(TypeError, match=r"PRNGKey dtype"):
        flax.serialization.to_bytes(started(STATES["zo_adamu"]()))


def test_another_structure_is_refused():
    encoded = zojax.flax.to_bytes(started(zojax.mezo(1e-2, eps=1e-3, key=0)))
    other = TrainState.create(apply_fn=None, params={"w": PARAMS["w"]}, tx=optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"do not match"):
        zojax.flax.from_bytes(other, encoded)


@pytest.mark.filterwarnings("ignore")  # orbax's own
def test_orbax_keeps_a_state_with_its_key(tmp_path):
    checkpoint = pytest.importorskip("orbax.checkpoint", reason="needs orbax-checkpoint")
    tx = STATES["zo_adamu"]()
    state = started(tx)
    with checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        fresh = TrainState.create(apply_fn=None, params=PARAMS, tx=tx)
        again = checkpointer.restore(tmp_path / "state", fresh)
    assert words(stepped(again)) == words(stepped(state))

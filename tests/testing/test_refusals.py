"""Each check of zojax.testing refuses what breaks its promise, and names the promise."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sets import slow_except

import zojax
from zojax import testing


def altered(update=None, init=None, estimator=lambda: zojax.spsa(1e-2, key=0)):
    """A factory of an optimizer that differs from SGD on ``estimator`` where it is told to."""

    def make() -> optax.GradientTransformationExtraArgs:
        tx = optax.chain(estimator(), optax.sgd(0.01))

        def plain_update(updates, state, params, *, value_fn, **extra_args):
            return tx.update(updates, state, params, value_fn=value_fn)

        def new_update(updates, state, params=None, **extra_args):
            return (update or (lambda call, *_, **__: call()))(
                lambda: plain_update(updates, state, params, **extra_args),
                updates,
                state,
                params,
                **extra_args,
            )

        def new_init(params):
            return (init or (lambda state, params: state))(tx.init(params), params)

        return optax.GradientTransformationExtraArgs(new_init, new_update)

    return make


def state_of(state: Any, **changes: Any) -> Any:
    return (state[0]._replace(**changes), *state[1:])


def in_float16(call, updates, state, params, **_):
    moved, new = call()
    return moved, state_of(new, value=new[0].value.astype(jnp.float16))


def weakly_typed(call, *_, **__):
    moved, new = call()
    return moved, state_of(new, value=jnp.where(new[0].count > 0, 1.0, 2.0))


def never_counts(call, updates, state, params, **_):
    moved, new = call()
    return moved, state_of(new, count=state[0].count)


def tells_zero(call, *_, **__):
    moved, new = call()
    return moved, state_of(new, value=jnp.zeros((), jnp.float32))


def climbs(call, *_, **__):
    moved, new = call()
    return jax.tree.map(jnp.negative, moved), new


def reads_values_at_init(state, params):
    return state_of(state, value=jnp.float32(float(jnp.abs(params["matrix"]).max()) + jnp.inf))


def refuses_the_unknown(call, updates, state, params, *, value_fn):
    return call()


def adds_updates(call, updates, state, params, **_):
    moved, new = call()
    if updates is not None:
        moved = optax.tree.add(moved, updates)
    return moved, new


def momentum():
    return optax.chain(zojax.spsa(1e-2, key=0), optax.trace(0.9))


def unsharded(call, *_, **__):
    moved, new = call()
    whole = jax.sharding.PartitionSpec()
    return moved, jax.tree.map(lambda x: jax.sharding.reshard(x, whole) if x.ndim else x, new)


class FromPython:
    """Takes a number from Python, which the state does not know."""

    def __init__(self):
        self.calls = 0

    def __call__(self, call, *_, **__):
        self.calls += 1
        moved, new = call()
        return jax.tree.map(lambda update: update * jnp.float32(self.calls), moved), new


def donates(call, updates, state, params, **_):
    moved, new = call()
    jax.jit(lambda x: x + 1, donate_argnums=0)(params["matrix"])
    return moved, new


def moves_integers(call, updates, state, params, **_):
    moved, new = call()
    return jax.tree.map(lambda u, p: u if p.dtype != jnp.int32 else u + 1, moved, params), new


def moments_that_go_on():
    return optax.chain(zojax.spsa(1e-2, key=0), optax.sgd(0.01, momentum=0.9))


# With the reason that must be given: a check may not refuse for another.
BROKEN_OPTIMIZERS = {
    "keep dtypes and structure": (altered(in_float16), r"value is float16\[\] after a step"),
    "compile once": (altered(weakly_typed), "compiled 2 times"),
    "count its steps": (altered(never_counts), r"counts are \[0\]"),
    "tell the loss": (altered(tells_zero), "value is 0.0 where the loss is 16"),
    "lower the loss": (altered(climbs), "took the loss from 16"),
    "initialise on shapes alone": (altered(init=reads_values_at_init), "Concretization"),
    "ignore updates and unknown arguments": (altered(adds_updates), "Other updates"),
    "run on sharded parameters": (
        altered(unsharded, estimator=momentum),
        r"trace\['matrix'\] is not sharded as its parameter is",
    ),
    "replay a step from its state": (altered(FromPython()), "Traced a second time"),
    "move nothing where the loss is NaN": (moments_that_go_on, "has moved the parameters"),
    "leave the parameters to its caller": (altered(donates), "has donated"),
    "leave integers": (altered(moves_integers), "The value of an integer parameter changed"),
}


@pytest.mark.quick
def test_every_promise_of_an_optimizer_has_a_broken_one():
    assert set(BROKEN_OPTIMIZERS) == set(testing.OPTIMIZER_PROMISES)
    assert set(BROKEN_ESTIMATORS) == set(testing.ESTIMATOR_PROMISES)
    assert set(BROKEN_DIRECTIONS) == set(testing.DIRECTION_PROMISES)


@pytest.mark.parametrize(
    "promise",
    slow_except(
        BROKEN_OPTIMIZERS.keys(),
        "lower the loss",
        "compile once",
        "leave integers",
        "tell the loss",
    ),
)
def test_a_broken_optimizer_is_refused(promise):
    make, reason = BROKEN_OPTIMIZERS[promise]
    with pytest.raises(testing.BrokenPromiseError, match=rf"it must {promise}\..*{reason}"):
        testing.check_optimizer(make, [promise])


def test_what_is_raised_is_how_a_promise_is_broken():
    with pytest.raises(AssertionError, match=r"unknown arguments\. TypeError.*unexpected keyword"):
        testing.check_optimizer(
            altered(refuses_the_unknown), ["ignore updates and unknown arguments"]
        )


@pytest.mark.slow
def test_all_promises_are_checked_unless_some_are_named():
    testing.check_optimizer(altered())
    with pytest.raises(testing.BrokenPromiseError, match="must leave integers"):
        testing.check_optimizer(altered(moves_integers))


@pytest.mark.quick
def test_an_unknown_promise_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"no promise 'lower loss'; .* 'lower the loss'"):
        testing.check_optimizer(altered(), ["lower loss"])


def compiles_each_time(call, updates, state, params, **_):
    moved, new = call()
    return jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree))(moved), new


def test_compiling_at_each_step_outside_of_jit_is_refused():
    in_place = altered(estimator=lambda: zojax.spsa(1e-2, key=0, evaluation="in_place"))
    testing.check_in_place(in_place)
    with pytest.raises(testing.BrokenPromiseError, match=r"it must compile nothing .* Compiling"):
        testing.check_in_place(altered(compiles_each_time))


@pytest.mark.quick
@pytest.mark.parametrize("jit", [True, False])
def test_a_drift_is_refused(jit):
    with pytest.raises(testing.BrokenPromiseError, match="leave the parameters their bits"):
        testing.check_no_drift(
            lambda: zojax.mezo(1e-9, eps=1e-3, key=0, evaluation="in_place" if not jit else "copy"),
            jit=jit,
        )


def scaled_by(factor):
    """SGD whose updates are multiplied by ``factor(state, params, value_fn)``."""
    tx = optax.chain(zojax.spsa(1e-2, key=0), optax.sgd(0.01))

    def update(updates, state, params=None, *, value_fn, **extra_args):
        moved, new = tx.update(updates, state, params, value_fn=value_fn, **extra_args)
        scale = factor(new, params, value_fn)
        return jax.tree.map(lambda update: update * scale, moved), new

    return optax.GradientTransformationExtraArgs(tx.init, update)


# A replay measures no loss, so that it has neither of them.
NEED_MORE = {
    "the last step's mean loss": (
        lambda state, params, value_fn: jnp.nan_to_num(state[0].value),
        "After 6 steps the replay has other bits",
    ),
    "a loss of its own": (
        lambda state, params, value_fn: jnp.nan_to_num(value_fn(params)),
        "depend only on keys and the log's scalars",
    ),
    "nothing, and it never moves": (lambda state, params, value_fn: 0.0, "no parameter moved"),
}


@pytest.mark.parametrize("needs", NEED_MORE)
def test_a_run_that_its_record_does_not_rebuild_is_refused(needs):
    factor, reason = NEED_MORE[needs]
    with pytest.raises(
        testing.BrokenPromiseError, match=rf"check_replay: it must be rebuilt .*{reason}"
    ):
        testing.check_replay(lambda: scaled_by(factor))


def doubled_spsa():
    return optax.chain(zojax.spsa(1e-2, key=0, num_queries=4), optax.scale(1.1))


def widened_spsa():
    return optax.chain(zojax.spsa(1e-2, key=0), optax.stateless(lambda u, _: widened(u)))


def widened(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float32), tree)


BROKEN_ESTIMATORS = {
    "give gradients like the parameters": widened_spsa,
    "have the gradient as its mean": doubled_spsa,
}


@pytest.mark.parametrize("promise", BROKEN_ESTIMATORS)
def test_a_broken_estimator_is_refused(promise):
    with pytest.raises(testing.BrokenPromiseError, match=f"check_estimator: it must {promise}"):
        testing.check_estimator(BROKEN_ESTIMATORS[promise], [promise])


@pytest.mark.slow
def test_an_estimator_must_keep_the_promises_of_an_optimizer():
    def make():
        tx = zojax.spsa(1e-2, key=0)

        def update(updates, state, params=None, *, value_fn, **_):
            estimate, new = tx.update(updates, state, params, value_fn=value_fn)
            return estimate, new._replace(value=-new.value)

        return optax.GradientTransformationExtraArgs(tx.init, update)

    with pytest.raises(testing.BrokenPromiseError, match="check_optimizer: it must tell the loss"):
        testing.check_estimator(make)


@dataclasses.dataclass(frozen=True)
class HalfPrecision(zojax.directions.SampledDirection):
    def draw(self, key, shape):
        return jax.random.normal(key, shape, jnp.float16)


class NoDataclass(zojax.directions.SampledDirection):
    def draw(self, key, shape):
        return jax.random.normal(key, shape)


@dataclasses.dataclass(frozen=True)
class FromNumpy(zojax.directions.SampledDirection):
    def draw(self, key, shape):
        return jnp.asarray(np.random.default_rng().normal(size=shape), jnp.float32)


@dataclasses.dataclass(frozen=True)
class Constant(zojax.directions.SampledDirection):
    def draw(self, key, shape):
        return jnp.ones(shape)


@dataclasses.dataclass(frozen=True)
class Normalised(zojax.ElementwiseDirection):
    def from_bits(self, bits):
        signs = zojax.Rademacher().from_bits(bits)
        return signs - jnp.mean(signs)


@dataclasses.dataclass(frozen=True)
class Scaled(zojax.directions.SampledDirection):
    mean: float = 0.0
    scale: float = 1.0
    correlated: bool = False

    def draw(self, key, shape):
        z = jax.random.normal(key, shape)
        if self.correlated and shape:
            z = (z + jnp.roll(z, 1)) / jnp.float32(2**0.5)
        return self.mean + self.scale * z


BROKEN_DIRECTIONS = {
    "draw float32 of the leaf's shape": [HalfPrecision()],
    "equal its copies": [NoDataclass()],
    "depend on the key alone": [FromNumpy(), Constant()],
    "make each element from its own bits": [Normalised()],
    "have mean 0 and the identity as second moment": [
        Scaled(mean=0.1),
        Scaled(scale=1.1),
        Scaled(correlated=True),
    ],
}


@pytest.mark.parametrize(
    ("promise", "direction"), [(p, d) for p, broken in BROKEN_DIRECTIONS.items() for d in broken]
)
def test_a_broken_direction_is_refused(promise, direction):
    with pytest.raises(testing.BrokenPromiseError, match=f"check_direction: it must {promise}"):
        testing.check_direction(direction, [promise])


# By default a sound direction is checked by the doctest of check_direction.
@pytest.mark.slow
def test_a_sound_direction_of_ones_own_passes():
    testing.check_direction(Scaled())

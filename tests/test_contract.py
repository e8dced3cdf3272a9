"""What zojax's parts promise, whatever they compute: the checks are those of zojax.testing."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled_once import compiled_once
from optimizers import (
    DIRECTIONS,
    ESTIMATORS,
    NEVER_IN_PLACE,
    NEVER_REPLAYED,
    OPTIMIZERS,
    VARIANTS,
    by_path,
)
from sets import slow_except

import zojax
from zojax import testing

# Of these variants, which no other test by default lets descend, this is checked by default; and
# that it may be sharded only of few optimizers, for those programs take longest to compile. The
# slow set has the rest.
OF_VARIANTS = ("lower the loss",)
LOWERED = ("spsa", "mezo, batched", "mezo, sampler", "mezo, spread", "zo_adamu, sparse")
SHARDED = ("mezo", "hybrid", "zo_adamu")
QUICK = ("mezo", "zo_adamu")
# What the estimator's state and the chain keep for all alike is checked of the others by default.
OF_THE_CHAIN = ("compile once", "leave integers", "count its steps")
OF_THE_CHAIN += ("ignore updates and unknown arguments",)
ALIKE = ("spsa, sparse", "zo_sgd_conservative", "forward_gradient_sgd", "one_point")


def marks(name, promise):
    sharded = promise == "run on sharded parameters"
    repeated = name in ALIKE and promise in OF_THE_CHAIN
    if (
        (name in VARIANTS and (promise not in OF_VARIANTS or name not in LOWERED))
        or (sharded and name not in SHARDED)
        or repeated
    ):
        return pytest.mark.slow
    return pytest.mark.quick if name in QUICK and not sharded else ()


REPLAYED = [name for name in OPTIMIZERS if name not in NEVER_REPLAYED]
IN_PLACE = [name for name in OPTIMIZERS if name not in NEVER_IN_PLACE]


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory):
    # Most promises of one optimizer are checked on the same program.
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.mark.parametrize(
    ("promise", "name"),
    [
        pytest.param(promise, name, id=f"{promise}-{name}", marks=marks(name, promise))
        for name in OPTIMIZERS
        for promise in testing.OPTIMIZER_PROMISES
    ],
)
def test_an_optimizer(promise, name, request):
    if name.startswith("subspace"):  # its updates of 16-bit parameters are float32
        request.getfixturevalue("standard_promotion")
    make = OPTIMIZERS[name]
    # A bare estimator gives a gradient; a named optimizer has scaled it already.
    bare = name == "spsa"
    testing.check_optimizer(
        lambda: optax.chain(make(), optax.sgd(0.01)) if bare else make(), [promise]
    )


@pytest.mark.parametrize("name", slow_except(IN_PLACE, *({*IN_PLACE} - VARIANTS)))
def test_an_optimizer_in_place(name):
    testing.check_in_place(lambda: OPTIMIZERS[name](evaluation="in_place"))


# tests/trajectory/test_replay.py replays most of them by default, on larger parameters.
@pytest.mark.parametrize("name", slow_except(REPLAYED, "mezo", "coordinatewise"))
def test_an_optimizer_replayed(name):
    testing.check_replay(OPTIMIZERS[name])


# tests/estimators has the means of the variants of spsa by default.
@pytest.mark.parametrize(
    "make",
    slow_except(
        ESTIMATORS,
        *("spsa", "spsa, batched", "one_point", "blockwise", "forward_gradient", "coordinatewise"),
    ),
)
@pytest.mark.parametrize("promise", testing.ESTIMATOR_PROMISES)
def test_an_estimator(make, promise):
    testing.check_estimator(make, [promise])


@pytest.mark.parametrize("direction", slow_except(DIRECTIONS, "low rank"))
@pytest.mark.parametrize("promise", testing.DIRECTION_PROMISES)
def test_a_direction(direction, promise):
    testing.check_direction(direction, [promise])


AT_REST = {
    "zo_sgd": lambda: zojax.zo_sgd(0.0, eps=1e-3, key=3),
    "zo_sgd, schedule": lambda: zojax.zo_sgd(
        optax.constant_schedule(0.0), eps=1e-3, key=3, num_queries=2
    ),
    "zo_sgd, decay": lambda: zojax.zo_sgd(0.0, eps=1e-3, key=3, weight_decay=0.1),
    "zo_sgd, injected": lambda: optax.inject_hyperparams(zojax.zo_sgd, static_args="num_queries")(
        0.0, eps=1e-3, key=3
    ),
    "zo_sgd_sign": lambda: zojax.zo_sgd_sign(0.0, eps=1e-3, key=3),
    "zo_sgd_momentum": lambda: zojax.zo_sgd_momentum(0.0, eps=1e-3, key=3),
    "zo_sgd_conservative": lambda: zojax.zo_sgd_conservative(0.0, eps=1e-3, key=3),
    "zo_sgd_blockwise": lambda: zojax.zo_sgd_blockwise(0.0, eps=1e-3, key=3, blocks=by_path),
    "zo_adam": lambda: zojax.zo_adam(0.0, eps=1e-3, key=3),
    "zo_adamm": lambda: zojax.zo_adamm(0.0, eps=1e-3, key=3),
    "zo_adamm, box": lambda: zojax.zo_adamm(0.0, eps=1e-3, key=3, lower=-4.0, upper=4.0),
    "zo_adamm, box that ends at 0": lambda: zojax.select(
        zojax.zo_adamm(0.0, eps=1e-3, key=3, lower=0.0), "zeros"
    ),
    "forward_gradient_sgd": lambda: zojax.forward_gradient_sgd(0.0, key=3),
    "conservative after select": lambda: optax.chain(
        zojax.select(zojax.zo_sgd(0.0, eps=1e-3, key=3), "matrix"), zojax.conservative()
    ),
}


@pytest.mark.parametrize(
    ("make", "dtype"),
    slow_except(
        {f"{n}-{d}": (make, d) for n, make in AT_REST.items() for d in ("float32", "bfloat16")},
        # Whatever else multiplies or adds to an update; a plain rate is in the test after the next.
        *(f"{n}-float32" for n in AT_REST if n not in ("zo_sgd", "zo_sgd_momentum", "zo_adamm")),
    ),
)
@pytest.mark.usefixtures("standard_promotion")  # an injected rate is float32
def test_every_optimizer_leaves_the_bits_at_learning_rate_zero(make, dtype):
    testing.check_no_drift(make, dtype)


def test_a_step_without_a_slope_leaves_the_bits():
    """At any learning rate: 0 times a direction is ±0.0, and −0.0 + 0.0 is 0.0."""
    params = {"w": jnp.full(8, -0.0), "v": jnp.arange(-4.0, 4.0)}
    for tx in (
        zojax.mezo(1.0, eps=1e-3, key=0),
        zojax.zo_adamu(1.0, eps=1e-3, key=0, num_steps=10),
    ):
        updates, _ = tx.update(
            None, tx.init(params), params, value_fn=lambda p: 0.0 * jnp.sum(p["w"])
        )
        after = optax.apply_updates(params, updates)
        for name, before in params.items():
            assert np.asarray(after[name]).tobytes() == np.asarray(before).tobytes()


def test_a_large_integer_stays():
    params = {"id": jnp.int32(2**24 + 1), "w": jnp.ones(3)}
    tx = zojax.mezo(1e-2, eps=1e-2, key=0)
    updates, _ = tx.update(None, tx.init(params), params, value_fn=lambda p: jnp.sum(p["w"]))
    assert updates["id"].dtype == jnp.int32
    assert int(optax.apply_updates(params, updates)["id"]) == 2**24 + 1


@pytest.mark.parametrize(
    ("name", "evaluation", "dtype"),
    slow_except(
        {
            f"{dtype}-{evaluation}-{name}": (name, evaluation, dtype)
            for dtype in ("float32", "bfloat16", "float16")
            for evaluation in ("streamed", "copy", "in_place")
            for name in ("mezo", "zo_adamu")
        },
        *("bfloat16-streamed-mezo", "bfloat16-copy-mezo", "bfloat16-in_place-mezo"),
        "bfloat16-streamed-zo_adamu",
    ),
)
def test_parameters_stay_the_same_bits_at_learning_rate_zero(name, evaluation, dtype):
    optimizer = {"mezo": zojax.mezo, "zo_adamu": zojax.zo_adamu}[name]
    testing.check_no_drift(
        lambda: optimizer(0.0, eps=1e-3, key=3, evaluation=evaluation),
        dtype,
        jit=evaluation != "in_place",
    )

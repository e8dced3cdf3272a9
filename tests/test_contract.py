"""What zojax's parts promise, whatever they compute: the checks are those of zojax.testing."""

import optax
import pytest
from compiled_once import compiled_once
from optimizers import DIRECTIONS, ESTIMATORS, NEVER_IN_PLACE, OPTIMIZERS, VARIANTS
from sets import slow_except

import zojax
from zojax import testing

# Of a variant these are checked by default; and that it may be sharded only of few optimizers, for
# those programs take longest to compile. The slow set has the rest.
OF_VARIANTS = ("keep dtypes and structure", "lower the loss")
SHARDED = ("mezo", "mezo, low rank", "select, mezo", "hybrid", "zo_sgd_blockwise", "zo_adamu")
QUICK = ("mezo", "zo_adamu")


def marks(name, promise):
    sharded = promise == "run on sharded parameters"
    if (name in VARIANTS and promise not in OF_VARIANTS) or (sharded and name not in SHARDED):
        return pytest.mark.slow
    return pytest.mark.quick if name in QUICK and not sharded else ()


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
def test_an_optimizer(promise, name):
    make = OPTIMIZERS[name]
    # A bare estimator gives a gradient; a named optimizer has scaled it already.
    bare = name == "spsa"
    testing.check_optimizer(
        lambda: optax.chain(make(), optax.sgd(0.01)) if bare else make(), [promise]
    )


@pytest.mark.parametrize("name", slow_except(IN_PLACE, *({*IN_PLACE} - VARIANTS)))
def test_an_optimizer_in_place(name):
    testing.check_in_place(lambda: OPTIMIZERS[name](evaluation="in_place"))


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("promise", testing.ESTIMATOR_PROMISES)
def test_an_estimator(make, promise):
    testing.check_estimator(make, [promise])


@pytest.mark.parametrize(
    "direction", slow_except(DIRECTIONS, "gaussian", "rademacher", "sphere", "low rank")
)
@pytest.mark.parametrize("promise", testing.DIRECTION_PROMISES)
def test_a_direction(direction, promise):
    testing.check_direction(direction, [promise])


@pytest.mark.parametrize("name", ["mezo", "zo_adamu"])
@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
@pytest.mark.parametrize(
    "dtype", slow_except(["float32", "bfloat16", "float16"], "float32", "bfloat16")
)
def test_parameters_stay_the_same_bits_at_learning_rate_zero(name, evaluation, dtype):
    optimizer = {"mezo": zojax.mezo, "zo_adamu": zojax.zo_adamu}[name]
    testing.check_no_drift(
        lambda: optimizer(0.0, 1e-3, 3, evaluation=evaluation),
        dtype,
        jit=evaluation != "in_place",
    )

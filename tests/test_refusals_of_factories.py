"""Every factory refuses a bad argument before any work, in its own name and the argument's."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax

NAN, INF = float("nan"), float("inf")
PARAMS = {"embed": jnp.ones((2, 3)), "layers": [jnp.ones((2, 3)), jnp.ones((2, 3))]}


def loss(p):
    return sum(jnp.sum(x * x) for x in jax.tree.leaves(p))


RATES = {"learning_rate": 1e-3, "eps": 1e-3, "key": 0}
SPSA = ("num_queries", "direction", "difference", "evaluation", "batched")  # what **options take

# Each with the arguments that it needs, and the options that its signature does not spell out.
FACTORIES = {
    "mezo": (RATES, ()),
    "zo_sgd": (RATES, ()),
    "zo_adam": (RATES, SPSA),
    "zo_adamm": (RATES, SPSA),
    "zo_adamu": (RATES, ()),
    "zo_sgd_blockwise": (RATES, ()),
    "zo_sgd_conservative": (RATES, SPSA),
    "zo_sgd_momentum": (RATES, SPSA),
    "zo_sgd_sign": (RATES, SPSA),
    "forward_gradient_sgd": ({"learning_rate": 1e-3, "key": 0}, ()),
    "spsa": ({"eps": 1e-3, "key": 0}, ()),
    "sparse_spsa": ({"eps": 1e-3, "key": 0}, ()),
    "one_point": ({"eps": 1e-3, "key": 0}, ()),
    "coordinatewise": ({"eps": 1e-3}, ()),
    "blockwise": ({"eps": 1e-3, "key": 0}, ()),
    "forward_gradient": ({"key": 0}, ()),
    "adamu": ({"eps": 1e-3, "key": 0}, ()),
    "adamu_schedules": ({}, ()),
    "conservative": ({}, ()),
    "keep_in_box": ({}, ()),
    "on_perturbation": ({"rule": optax.scale_by_adam(), "eps": 1e-3, "key": 0}, ()),
    "hybrid": ({"zo": zojax.mezo(1e-3, 1e-3, 0), "fo": optax.sgd(1e-3), "split": 1}, ()),
    "chain": ({"estimator": zojax.spsa(1e-3, 0)}, ()),
    "select": ({"tx": zojax.mezo(1e-3, 1e-3, 0), "where": "*"}, ()),
}


def schedule(step):
    return 0.1


NO_NUMBER = ["1e-3", True, 1j, jnp.ones(2), (1e-3,), np.array(True)]
POSITIVE = [None, 0.0, -1.0, NAN, INF, np.float32(-1.0), *NO_NUMBER]
NOT_NEGATIVE = [None, -1.0, NAN, INF, jnp.float32(-1.0), *NO_NUMBER]
FRACTION = [-0.1, 1.1, NAN, *NO_NUMBER]
COUNT = [0, -1, 1.5, True, "2", schedule, jnp.int32(2), np.float32(2.0)]
FLAG = [None, 1, 0.5, "yes"]
TRANSFORMATION = [None, "adam", zojax.mezo]

BAD = {
    "learning_rate": NOT_NEGATIVE,
    "eps": POSITIVE,
    "key": [None, True, 0.5, "0", jnp.zeros(3, jnp.uint32), jax.random.split(jax.random.key(0))],
    "num_queries": [None, *COUNT],
    "direction": [None, "gaussian", zojax.Gaussian],
    "difference": [None, "backward"],
    "evaluation": [None, "magic"],
    "weight_decay": NOT_NEGATIVE,
    "adam_eps": NOT_NEGATIVE,
    "b1": [None, *FRACTION],
    "b2": [None, *FRACTION],
    "momentum": [None, *FRACTION],
    "alpha": FRACTION,
    "beta1": FRACTION,
    "beta2": FRACTION,
    "phases": [(1, 2), (1, 2, 3, 4), (5, 4, 9), (1, 2, "3"), 20_000, (0.05, 0.8, 1.0), "phases"],
    "num_steps": COUNT,
    "anneal": [None, "text"],
    "mu_dtype": ["float33", jnp.int32, 32],
    "sign_of": [None, "z"],
    "ratios": [None, "small"],
    "sparsity": [None, *FRACTION],
    "max_size": [None, *COUNT],
    "blocks": [None, 3, "layer"],
    "in_turn": FLAG,
    "signed_momentum": FLAG,
    "store_nu": FLAG,
    "lower": [NAN, "0", True],
    "upper": [NAN, "0", True],
    "batched": FLAG,
    "slope_sign": FLAG,
    "estimator": TRANSFORMATION,
    "rule": TRANSFORMATION,
    "zo": TRANSFORMATION,
    "fo": TRANSFORMATION,
    "tx": TRANSFORMATION,
    "split": [0, -1, 1.5, None, True, schedule(0)],
}

# Rows of their own: on_perturbation's momentum is a flag; blockwise takes a rate as in_turn.
OWN = {
    ("on_perturbation", "signed_momentum"): FLAG,
    ("blockwise", "in_turn"): [x for x in NOT_NEGATIVE if x is not None],
}


def arguments(name):
    _, options = FACTORIES[name]
    named = [n for n in inspect.signature(getattr(zojax, name)).parameters if n != "options"]
    return [*named, *options]


CASES = [
    (name, argument, value)
    for name in FACTORIES
    for argument in arguments(name)
    for value in OWN.get((name, argument), BAD.get(argument, ()))
]


@pytest.mark.parametrize(("name", "argument", "value"), CASES)
def test_a_bad_argument_is_refused(name, argument, value):
    needed, _ = FACTORIES[name]
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: {argument} must "):
        getattr(zojax, name)(**{**needed, argument: value})


def test_a_link_that_is_none_is_refused():
    with pytest.raises(TypeError, match=r"^chain: links must be .* got 'adam'"):
        zojax.chain(zojax.spsa(1e-3, 0), optax.scale(1.0), "adam")


def test_every_factory_and_argument_is_here():
    makes_none = {"_version", "compiler_options", "last_loss", "last_aux"}
    functions = {name for name, value in vars(zojax).items() if inspect.isfunction(value)}
    assert set(FACTORIES) == functions - makes_none
    # What is checked by optax or at init, or not at all.
    later = {"mask", "where", "has_aux", "links"}
    assert {a for name in FACTORIES for a in arguments(name)} - set(BAD) <= later


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), jnp.float32(0.5)])
def test_scalars_of_numpy_and_jax_are_numbers(number):
    tx = zojax.zo_adam(number, number, np.int64(0), b1=number, weight_decay=number)
    assert tx.init(PARAMS)
    assert zojax.mezo(number, number, 0, num_queries=np.int64(2)).init(PARAMS)
    assert zojax.zo_adamu(number, number, 0, num_steps=np.int32(10)).init(PARAMS)


COMPOSED = {name: needed for name, (needed, _) in FACTORIES.items() if "learning_rate" in needed}


@pytest.mark.parametrize("name", COMPOSED)
def test_what_is_refused_later_is_in_the_name_of_the_function_too(name):
    tx = getattr(zojax, name)(**COMPOSED[name])
    with pytest.raises(ValueError, match=rf"^{name}: params hold no floating-point leaf"):
        tx.init({"layers": [jnp.arange(3)]})
    state = tx.init(PARAMS)
    with pytest.raises(TypeError, match=rf"^{name}: update needs value_fn"):
        tx.update(None, state, PARAMS)
    with pytest.raises(ValueError, match=rf"^{name}: params are needed"):
        tx.update(None, state, value_fn=loss)


def test_an_argument_that_is_not_there_is_refused_in_the_name_of_the_function():
    with pytest.raises(TypeError, match=r"^zo_adam\(\) got an unexpected keyword .* 'momentum'"):
        zojax.zo_adam(1e-3, 1e-3, 0, momentum=0.9)
    with pytest.raises(TypeError, match=r"^zo_sgd\(\) missing 1 required .* 'key'"):
        zojax.zo_sgd(1e-3, 1e-3)


def test_errors_of_the_user_stay_as_they_are():
    def broken(p):
        raise ValueError("mine: spsa: is not the beginning")

    tx = zojax.mezo(1e-3, 1e-3, 0)
    with pytest.raises(ValueError, match=r"^mine: spsa: is not the beginning"):
        tx.update(None, tx.init(PARAMS), PARAMS, value_fn=broken)


def test_a_factory_has_its_own_name_and_signature():
    assert zojax.zo_sgd.__name__ == "zo_sgd"
    assert zojax.mezo.__name__ == "mezo"
    assert inspect.signature(zojax.zo_sgd) == inspect.signature(zojax.mezo)
    assert list(inspect.signature(zojax.mezo).parameters)[:4] == [
        "learning_rate",
        "eps",
        "key",
        "num_queries",
    ]
    assert zojax.zo_sgd.__doc__ == zojax.mezo.__doc__

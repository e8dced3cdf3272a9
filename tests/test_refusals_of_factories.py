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
ONE_RATE = {"learning_rate": 1e-3, "key": 0}
EPS = {"eps": 1e-3, "key": 0}

# Each with the arguments that it needs.
FACTORIES = {
    "mezo": RATES,
    "zo_sgd": RATES,
    "zo_adam": RATES,
    "zo_adamm": RATES,
    "zo_adamu": RATES,
    "zo_sgd_blockwise": RATES,
    "zo_sgd_conservative": RATES,
    "zo_sgd_momentum": RATES,
    "zo_sgd_sign": RATES,
    "forward_gradient_sgd": ONE_RATE,
    **dict.fromkeys(("subzero", "subzero_plus", "lozo", "lozo_m", "zo_muon", "tezo"), RATES),
    "es": RATES,
    "es_at_scale": RATES,
    "spsa": EPS,
    "one_point": EPS,
    "coordinatewise": {"eps": 1e-3},
    "blockwise": EPS,
    "forward_gradient": {"key": 0},
    "adamu_schedules": {},
    "conservative": {},
    "keep_in_box": {},
    "compensated": {},
    "stochastic_rounding": {"key": 0},
    "hybrid": {"zo": zojax.mezo(1e-3, eps=1e-3, key=0), "fo": optax.sgd(1e-3), "split": 1},
    "chain": {"estimator": zojax.spsa(1e-3, key=0)},
    "subspace": {"tx": zojax.mezo(1e-3, eps=1e-3, key=0), "rank": 2, "refresh": 5, "key": 0},
    "select": {"tx": zojax.mezo(1e-3, eps=1e-3, key=0), "where": "*"},
    # Directions are classes.
    "LowRank": {},
    "MomentumCentred": {},
    "Shaped": {"rule": optax.scale_by_adam()},
    "Sparse": {},
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
    "population": [None, 1, *COUNT],
    "shaping": ["rank", 1.0, optax.scale_by_adam()],
    "direction": [None, "Gaussian", zojax.Gaussian],
    "base": [None, "Gaussian", zojax.Gaussian],
    "rank": [None, *COUNT],
    "refresh": COUNT,
    "sides": [None, "top"],
    "basis": [None, "qr"],
    "in_update": FLAG,
    "difference": [None, "backward"],
    "slope_rule": ["signs", optax.scale_by_adam, 1.0],
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
    "centre_dtype": ["float33", jnp.int32, 32],
    "ratios": [None, "small"],
    "sparsity": [None, *FRACTION],
    "max_size": [None, *COUNT],
    "blocks": [None, 3, "layer"],
    "in_turn": FLAG,
    "signed_momentum": FLAG,
    "lower": [NAN, "0", True],
    "upper": [NAN, "0", True],
    "batched": FLAG,
    "estimator": TRANSFORMATION,
    "rule": TRANSFORMATION,
    "zo": TRANSFORMATION,
    "fo": TRANSFORMATION,
    "tx": TRANSFORMATION,
    "split": [0, -1, 1.5, None, True, schedule(0)],
}

# A row of its own: blockwise takes a rate as in_turn.
OWN = {("blockwise", "in_turn"): [x for x in NOT_NEGATIVE if x is not None]}


def factory(name):
    places = (zojax, zojax.directions, zojax.rules, zojax.optimizers)
    return next(getattr(place, name) for place in places if hasattr(place, name))


ELSEWHERE = ("adamu_schedules", "keep_in_box")
ELSEWHERE += ("es_at_scale", "subzero", "subzero_plus", "lozo", "lozo_m", "zo_muon", "tezo")


def arguments(name):
    return list(inspect.signature(factory(name)).parameters)


CASES = [
    (name, argument, value)
    for name in FACTORIES
    for argument in arguments(name)
    for value in OWN.get((name, argument), BAD.get(argument, ()))
]


@pytest.mark.parametrize(("name", "argument", "value"), CASES)
def test_a_bad_argument_is_refused(name, argument, value):
    needed = FACTORIES[name]
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: {argument} must "):
        factory(name)(**{**needed, argument: value})


def test_a_link_that_is_none_is_refused():
    with pytest.raises(TypeError, match=r"^chain: links must be .* got 'adam'"):
        zojax.chain(zojax.spsa(1e-3, key=0), optax.scale(1.0), "adam")


def test_every_factory_and_argument_is_here():
    makes_none = {"_version", "compiler_options", "find_rate", "last_loss", "last_aux"}
    makes_none |= {"fold", "folded", "ask_tell"}
    public = {name: getattr(zojax, name) for name in dir(zojax) if not name.startswith("__")}
    public |= {name: factory(name) for name in ELSEWHERE}
    functions = {name for name, value in public.items() if inspect.isfunction(value)}
    classes = {name for name, value in public.items() if inspect.isclass(value)}
    assert functions - makes_none <= set(FACTORIES) <= functions | classes
    # What is checked by optax or at init, or not at all.
    later = {"mask", "matrix", "where", "has_aux", "links"}
    assert {a for name in FACTORIES for a in arguments(name)} - set(BAD) <= later


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), jnp.float32(0.5)])
def test_scalars_of_numpy_and_jax_are_numbers(number):
    tx = zojax.zo_adam(number, eps=number, key=np.int64(0), b1=number, weight_decay=number)
    assert tx.init(PARAMS)
    assert zojax.mezo(number, eps=number, key=0, num_queries=np.int64(2)).init(PARAMS)
    assert zojax.zo_adamu(number, eps=number, key=0, num_steps=np.int32(10)).init(PARAMS)


COMPOSED = {name: needed for name, needed in FACTORIES.items() if "learning_rate" in needed}


@pytest.mark.parametrize("name", COMPOSED)
def test_what_is_refused_later_is_in_the_name_of_the_function_too(name):
    tx = factory(name)(**COMPOSED[name])
    with pytest.raises(ValueError, match=rf"^{name}: params hold no floating-point leaf"):
        tx.init({"layers": [jnp.arange(3)]})
    state = tx.init(PARAMS)
    with pytest.raises(TypeError, match=rf"^{name}: update needs value_fn"):
        tx.update(None, state, PARAMS)
    with pytest.raises(ValueError, match=rf"^{name}: params are needed"):
        tx.update(None, state, value_fn=loss)


def test_an_argument_that_is_not_there_is_refused_in_the_name_of_the_function():
    with pytest.raises(TypeError, match=r"^zo_adam\(\) got an unexpected keyword .* 'momentum'"):
        zojax.zo_adam(1e-3, eps=1e-3, key=0, momentum=0.9)
    with pytest.raises(TypeError, match=r"^zo_sgd\(\) missing 1 required .* 'key'"):
        zojax.zo_sgd(1e-3, eps=1e-3)


def test_errors_of_the_user_stay_as_they_are():
    def broken(p):
        raise ValueError("mine: spsa: is not the beginning")

    tx = zojax.mezo(1e-3, eps=1e-3, key=0)
    with pytest.raises(ValueError, match=r"^mine: spsa: is not the beginning"):
        tx.update(None, tx.init(PARAMS), PARAMS, value_fn=broken)


def test_what_could_be_swapped_is_keyword_only():
    """mezo(1e-3, 1e-6, 0) would run with the two numbers the wrong way round."""
    for name in FACTORIES:
        parameters = inspect.signature(factory(name)).parameters.values()
        positional = [p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD]
        if {"eps", "key", "learning_rate"} & {p.name for p in parameters}:
            assert positional in (["learning_rate"], ["eps"], ["tx"], []), name
    with pytest.raises(TypeError, match=r"^mezo\(\) takes 1 positional argument but 3"):
        zojax.mezo(*(1e-3, 1e-6, 0))


def test_signatures_can_be_read():
    """A line for each option, as help() and a notebook's tooltip show it."""
    for name in FACTORIES:
        signature = inspect.signature(factory(name))
        assert not any(p.kind == p.VAR_KEYWORD for p in signature.parameters.values())
        for parameter in signature.parameters.values():
            assert len(str(parameter)) < 60, parameter


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

"""Each named optimizer's rule against NumPy in float64, fed the same estimates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick_compile import quick_jit
from sets import slow_except

import zojax

EPS = 1e-2
RATE = 1e-2
STEPS = 20


def value_fn(p):
    return jnp.sum(jnp.cos(p["w"]) * jnp.arange(1.0, 4.0)[None]) + jnp.sum(p["b"] ** 2)


def start():
    return {"b": jnp.array([1.0, -0.5]), "w": jax.random.normal(jax.random.key(2), (4, 3))}


def follow(tx, rule, **spsa_options):
    """Steps of ``tx`` beside ``rule(estimate, parameter, memory, step) -> update`` in float64."""
    estimator = zojax.spsa(EPS, key=5, **spsa_options)
    params, state = start(), tx.init(start())
    memory = {name: {} for name in params}

    @quick_jit
    def step(params, state, count):
        estimate, _ = estimator.update(
            None, estimator.init(params)._replace(count=count), params, value_fn=value_fn
        )
        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return estimate, updates, state

    for count in range(STEPS):
        estimate, updates, state = step(params, state, jnp.int32(count))
        for name, parameter in params.items():
            g, x = (np.asarray(a, np.float64) for a in (estimate[name], parameter))
            expected = rule(g, x, memory[name], count)
            np.testing.assert_allclose(updates[name], expected, rtol=1e-5, atol=1e-7)
        after = optax.apply_updates(params, updates)
        for name, parameter in params.items():
            moved = np.asarray(parameter, np.float64) + np.asarray(updates[name], np.float64)
            np.testing.assert_allclose(after[name], moved, rtol=1e-6, atol=1e-7)
        params = after
    return params


def test_sign():
    follow(zojax.zo_sgd_sign(RATE, eps=EPS, key=5), lambda g, x, memory, t: -RATE * np.sign(g))


def test_sign_of_the_slope_keeps_the_direction():
    """±z whatever the loss's scale: of random signs it is the sign of the estimate."""
    signs = zojax.Rademacher()
    follow(
        zojax.mezo(RATE, eps=EPS, key=5, slope_rule="sign", direction=signs),
        lambda g, x, memory, t: -RATE * np.sign(g),
        direction=signs,
    )
    sizes = []

    def rule(g, x, memory, t):
        return memory["update"]

    tx = zojax.mezo(1.0, eps=EPS, key=5, slope_rule="sign", num_queries=4)
    for scale in (1.0, 100.0):
        update, _ = tx.update(
            None, tx.init(start()), start(), value_fn=lambda p, s=scale: s * value_fn(p)
        )
        sizes.append(update["w"])
    np.testing.assert_array_equal(*sizes)
    assert 0.1 < np.std(sizes[0]) < 1.0  # the mean of four directions, near 1/2


def test_momentum():
    def rule(g, x, memory, t):
        memory["m"] = g + 0.9 * memory.get("m", 0.0)
        return -RATE * memory["m"]

    follow(zojax.zo_sgd_momentum(RATE, eps=EPS, key=5), rule)


def test_momentum_by_schedule():
    def rule(g, x, memory, t):
        memory["m"] = g + (0.5 + 0.02 * t) * memory.get("m", 0.0)
        return -RATE * memory["m"]

    schedule = optax.linear_schedule(0.5, 0.9, 20)
    follow(zojax.zo_sgd_momentum(RATE, eps=EPS, key=5, momentum=schedule), rule)


def test_adam():
    def rule(g, x, memory, t):
        memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
        memory["v"] = 0.999 * memory.get("v", 0.0) + 0.001 * g**2
        m, v = memory["m"] / (1 - 0.9 ** (t + 1)), memory["v"] / (1 - 0.999 ** (t + 1))
        return -RATE * (m / (np.sqrt(v) + 1e-8) + 0.1 * x)

    follow(
        zojax.zo_adam(RATE, eps=EPS, key=5, weight_decay=0.1, num_queries=2), rule, num_queries=2
    )


def adamm(g, memory):
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["v"] = 0.999 * memory.get("v", 0.0) + 0.001 * g**2
    memory["max"] = np.maximum(memory.get("max", 0.0), memory["v"])
    return memory["m"] / (np.sqrt(memory["max"]) + 1e-8)


def test_adamm():
    follow(zojax.zo_adamm(RATE, eps=EPS, key=5), lambda g, x, memory, t: -RATE * adamm(g, memory))


def test_adamm_within_bounds():
    low, high = -0.3, 0.8

    def rule(g, x, memory, t):
        return np.clip(x - RATE * adamm(g, memory), low, high) - x

    params = follow(zojax.zo_adamm(RATE, eps=EPS, key=5, lower=low, upper=high), rule)
    values = np.concatenate([np.ravel(x) for x in params.values()])
    assert values.min() >= low - 1e-7
    assert values.max() <= high + 1e-7
    assert np.isclose(values, low).any()
    assert np.isclose(values, high).any()


@pytest.mark.parametrize("seed", range(3))
def test_clipping_is_the_projection_in_any_diagonal_norm(seed):
    """Of many points in the box, none is nearer in the weighted norm than the clipped one."""
    rng = np.random.default_rng(seed)
    weights, target = rng.uniform(0.01, 10.0, 5), rng.normal(0.0, 3.0, 5)
    low, high = -rng.uniform(0.0, 1.0, 5), rng.uniform(0.0, 1.0, 5)
    inside = rng.uniform(low, high, (100_000, 5))
    distance = np.sum(weights * (inside - target) ** 2, axis=1)
    tx = zojax.rules.keep_in_box(jnp.asarray(low), jnp.asarray(high))
    projected, _ = tx.update(jnp.asarray(target), tx.init(None), jnp.zeros(5))
    assert np.sum(weights * (np.asarray(projected) - target) ** 2) <= distance.min()


def test_a_box_may_have_a_side_for_each_parameter():
    params = start()
    tx = zojax.rules.keep_in_box(upper={"b": jnp.array([0.0, 1.0]), "w": jnp.zeros((4, 3))})
    moved, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    moved = optax.apply_updates(params, moved)
    np.testing.assert_allclose(moved["b"], [0.0, 0.5])
    assert (np.asarray(moved["w"]) <= 0).all()


@pytest.mark.parametrize(("rate", "expected"), [(1e-3, {1.0}), (0.3, {0.0, 1.0}), (50.0, {0.0})])
def test_conservative_never_increases_the_loss(rate, expected):
    tx = zojax.zo_sgd_conservative(rate, eps=EPS, key=5)
    params, state, signs = start(), tx.init(start()), set()
    loss = jax.jit(value_fn)
    step = jax.jit(lambda p, s: tx.update(None, s, p, value_fn=value_fn))
    for _ in range(30):
        updates, state = step(params, state)
        after = optax.apply_updates(params, updates)
        assert loss(after) <= loss(params)
        np.testing.assert_allclose(state[-1].least, loss(after), rtol=1e-5)
        params = after
        signs.add(float(state[-1].sign))
    assert expected <= signs


def test_conservative_takes_the_best_of_three():
    tx = zojax.conservative()
    x, step = jnp.array([2.0]), jnp.array([0.5])
    for slope, curvature, sign in ((-1.0, 0.0, 1.0), (1.0, 0.0, -1.0), (0.0, 1.0, 0.0)):

        def loss(p, a=slope, b=curvature):
            return jnp.sum(a * p + b * (p - 2.0) ** 2)

        taken, state = tx.update(step, tx.init(x), x, value_fn=loss)
        np.testing.assert_array_equal(taken, sign * step)
        assert float(state.sign) == sign


def test_conservative_counts_its_evaluations():
    calls = []
    tx = zojax.zo_sgd_conservative(RATE, eps=EPS, key=5, num_queries=2, evaluation="in_place")

    def loss(p):
        calls.append(1)
        return value_fn(p)

    tx.update(None, tx.init(start()), start(), value_fn=loss)
    assert len(calls) == 2 * 2 + 3


def test_conservative_never_moves_to_where_the_loss_is_no_number():
    tx = zojax.conservative()
    x, step = jnp.array([2.0]), jnp.array([0.5])
    # Forwards there is no loss; backwards it is greater than here.
    taken, state = tx.update(step, tx.init(x), x, value_fn=lambda p: jnp.sum(jnp.sqrt(2.2 - p)))
    np.testing.assert_array_equal(taken, jnp.zeros(1))
    np.testing.assert_allclose(state.least, np.sqrt(0.2), rtol=1e-5)
    # A step that is no number is left too.
    taken, _ = tx.update(step * jnp.nan, tx.init(x), x, value_fn=jnp.sum)
    np.testing.assert_array_equal(taken, jnp.zeros(1))


@pytest.mark.parametrize(
    ("optimizer", "b1"),
    slow_except(
        {
            f"{optimizer.__name__}-{name}": (optimizer, b1)
            for optimizer in (zojax.zo_adam, zojax.zo_adamm)
            for name, b1 in {"number": 0.9, "schedule": optax.constant_schedule(0.9)}.items()
        },
        *("zo_adam-schedule", "zo_adamm-number"),
    ),
)
def test_bfloat16_parameters_have_moments_that_decay(optimizer, b1):
    """With moments or β₂ in bfloat16, 0.999 is 1 and v would keep its first value."""
    tx = optimizer(RATE, eps=EPS, key=5, b1=b1)
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), start())
    state = tx.init(params)
    step = quick_jit(lambda s, f: tx.update(None, s, params, value_fn=lambda p: f * value_fn(p))[1])
    with jax.numpy_dtype_promotion("standard"):
        first = step(state, 1.0)
        later = first
        for _ in range(50):
            later = step(later, 0.0)
    nu = [optax.tree_utils.tree_get(s, "nu")["w"] for s in (first, later)]
    assert nu[0].dtype == jnp.float32
    np.testing.assert_allclose(nu[1], nu[0] * 0.999**50, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: zojax.zo_sgd_sign(1.0, eps=1e-3, key=0, slope_rule="z"),
            "zo_sgd_sign: slope_rule must be one",
        ),
        (
            lambda: zojax.zo_sgd_momentum(1.0, eps=1e-3, key=0, momentum=2.0),
            r"momentum must be within",
        ),
        (
            lambda: zojax.zo_adam(1.0, eps=1e-3, key=0, b2=-0.1),
            r"zo_adam: b2 must be within \[0, 1\], got",
        ),
        (
            lambda: zojax.zo_adam(1.0, eps=1e-3, key=0, adam_eps=-1.0),
            "zo_adam: adam_eps must be >= 0",
        ),
        (
            lambda: zojax.zo_adamm(1.0, eps=1e-3, key=0, lower=2.0, upper=1.0),
            "lower must be <= upper",
        ),
        (lambda: zojax.conservative(evaluation="magic"), "conservative: evaluation must be one of"),
        (lambda: zojax.rules.keep_in_box(0.0).update(1.0, None), "keep_in_box: params are needed"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


LARGE = 512


@pytest.mark.parametrize(
    "make",
    [
        lambda: zojax.zo_adam(RATE, eps=EPS, key=5),
        lambda: zojax.zo_adamm(RATE, eps=EPS, key=5),
        lambda: zojax.zo_adam(RATE, eps=EPS, key=5, b1=optax.constant_schedule(0.9)),
    ],
    ids=["zo_adam", "zo_adamm", "schedule"],
)
def test_no_float32_copy_of_the_model_is_made_to_start(make, monkeypatch):
    """Out of jit, what init widened was real memory; compiled, it must not be either."""
    params = {"w": jnp.ones((LARGE, LARGE), jnp.bfloat16), "b": jnp.ones(LARGE, jnp.bfloat16)}
    tx = make()
    compiled = jax.jit(tx.init).lower(params).compile()
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes < LARGE * LARGE
    # Neither does the program read the parameters, which it would for a copy.
    assert memory.argument_size_in_bytes < LARGE * LARGE

    widened = []
    array = type(params["w"])
    astype = array.astype
    monkeypatch.setattr(
        array,
        "astype",
        lambda self, *args, **kwargs: widened.append(self.shape) or astype(self, *args, **kwargs),
    )
    state = tx.init(params)
    assert (LARGE, LARGE) not in widened
    monkeypatch.undo()
    moments = [x for x in jax.tree.leaves(state) if x.shape == (LARGE, LARGE)]
    assert len(moments) in (2, 3)
    assert all(x.dtype == jnp.float32 and not x.any() for x in moments)

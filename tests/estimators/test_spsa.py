"""The two-point estimate: unbiased, of the right size, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at
from sets import slow_except

import zojax

HESSIAN = jnp.array([1.0, 4.0, 9.0])
X = jnp.array([1.0, -2.0, 0.5])
LIMIT = 4.5  # standard errors


def quadratic(x):
    return 0.5 * jnp.sum(HESSIAN * x * x)


def estimates(tx, count=20_000):
    state = tx.init(X)

    def draw(step):
        return tx.update(None, state._replace(count=step), X, value_fn=quadratic)[0]

    return np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(count)), np.float64)


@pytest.mark.parametrize(
    ("direction", "num_queries"),
    slow_except(
        {
            f"{direction}-{queries}": (direction, queries)
            for direction in (zojax.Gaussian(), zojax.Rademacher(), zojax.Sphere())
            for queries in (1, 3)
        },
        *("Gaussian()-1", "Rademacher()-1", "Sphere()-3"),
        marks=pytest.mark.quick,
    ),
)
def test_unbiased(direction, num_queries):
    draws = estimates(zojax.spsa(1e-2, key=0, direction=direction, num_queries=num_queries))
    z_score = (draws.mean(0) - jax.grad(quadratic)(X)) / (draws.std(0) / np.sqrt(len(draws)))
    np.testing.assert_array_less(np.abs(z_score), LIMIT)


@pytest.mark.parametrize(
    ("direction", "factor"), [(zojax.Gaussian(), 3 + 2), (zojax.Rademacher(), 3)], ids=repr
)
def test_second_moment(direction, factor):
    squares = np.sum(estimates(zojax.spsa(1e-2, key=0, direction=direction)) ** 2, axis=1)
    expected = factor * float(jnp.sum(jax.grad(quadratic)(X) ** 2))
    # Of random signs the sum of squares varies with the signs; of none is the error exactly 0.
    z_score = (squares.mean() - expected) / (squares.std() / np.sqrt(len(squares)))
    assert abs(z_score) < LIMIT


def test_queries_lower_the_variance():
    one = estimates(zojax.spsa(1e-2, key=0), 4000).var(0).sum()
    eight = estimates(zojax.spsa(1e-2, key=0, num_queries=8), 4000).var(0).sum()
    np.testing.assert_allclose(one / eight, 8.0, rtol=0.15)


def test_forward_difference_has_the_bias_of_the_curvature():
    tx = zojax.spsa(0.5, key=0, difference="forward")
    state = tx.init(X)
    gradient, state = tx.update(None, state, X, value_fn=quadratic)
    z = zojax.spsa(1e-2, key=0)
    exact, _ = z.update(None, z.init(X), X, value_fn=quadratic)
    direction = exact / jnp.linalg.norm(exact)  # ± the same z
    slope = gradient @ direction / (exact @ direction)
    assert abs(float(slope) - 1.0) > 1e-3
    assert np.isfinite(state.value)


@pytest.mark.quick
def test_the_direction_applied_is_the_direction_probed():
    """At θ = 0 and ε = 1 the first point is z itself; with slope 1 the update is too."""
    seen = []

    def value_fn(p):
        jax.debug.callback(lambda m, v: seen.append((m, v)), p["m"], p["v"], ordered=True)
        # The sign of one element tells θ + z from θ - z: losses 1 and -1, a slope of 1.
        return jnp.sign(p["m"][0, 0])

    params = {"m": jnp.zeros((64, 8)), "v": jnp.zeros(16)}
    tx = zojax.spsa(1.0, key=11)
    update = jax.jit(lambda p, s: tx.update(None, s, p, value_fn=value_fn))
    gradient, _ = update(params, tx.init(params))
    jax.effects_barrier()
    (plus_m, plus_v), (minus_m, _) = seen
    np.testing.assert_array_equal(plus_m, -minus_m)
    sign = np.sign(plus_m[0, 0])
    np.testing.assert_array_equal(gradient["m"], sign * plus_m)
    np.testing.assert_array_equal(gradient["v"], sign * plus_v)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(eps=-0.001), ValueError, r"spsa: eps must be > 0 and finite, got -0.001\."),
        (dict(eps=float("nan")), ValueError, "eps must be > 0"),
        (dict(num_queries=0), ValueError, r"spsa: num_queries must be >= 1, got 0\."),
        (dict(num_queries=1.5), TypeError, "num_queries must be a Python int"),
        (dict(direction=zojax.Gaussian), TypeError, r"Write Gaussian\(\)\."),
        (dict(difference="both"), ValueError, "difference must be one of"),
        (dict(evaluation="magic"), ValueError, "evaluation must be one of"),
        (dict(key=0.5), TypeError, "key must be a typed key or an int seed"),
        (dict(key=np.array([0, 1, 2], np.uint32)), TypeError, "key must be a typed key"),
    ],
)
def test_bad_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        zojax.spsa(**{"eps": 1e-3, "key": 0, **options})


@pytest.mark.quick
def test_bad_calls_are_refused():
    tx = zojax.spsa(1e-3, key=0)
    state = tx.init(X)
    with pytest.raises(ValueError, match="params are needed"):
        tx.update(None, state, value_fn=quadratic)
    with pytest.raises(TypeError, match="needs value_fn"):
        tx.update(None, state, X)
    with pytest.raises(TypeError, match=r"must return one real number, got float32\[3\]"):
        tx.update(None, state, X, value_fn=lambda x: x)
    with pytest.raises(ValueError, match="no floating-point leaf"):
        tx.init({"n": jnp.arange(3)})
    with pytest.raises(TypeError, match=r"\['k'\] has dtype key"):
        tx.init({"k": jax.random.key(0), "x": X})
    with pytest.raises(ValueError, match="weight_decay must be >= 0"):
        zojax.mezo(1.0, eps=1e-3, key=0, weight_decay=-1.0)


def test_the_key_outlives_a_donated_state():
    tx = zojax.mezo(1e-2, eps=1e-2, key=jax.random.key(4))
    step = jax.jit(lambda s: tx.update(None, s, X, value_fn=quadratic)[1], donate_argnums=0)
    first = step(tx.init(X))
    second = step(tx.init(X))
    assert first[0].value == second[0].value


TAILS = {
    "adam": optax.adam(1e-2),
    "lion": optax.lion(1e-2),
    "momentum": optax.sgd(1e-2, momentum=0.9),
    "MultiSteps": optax.MultiSteps(optax.sgd(1e-2), every_k_schedule=4).gradient_transformation(),
}


@pytest.mark.parametrize(
    "tail",
    slow_except({name: (tail,) for name, tail in TAILS.items()}, "adam", "MultiSteps"),
)
@pytest.mark.usefixtures("standard_promotion")  # optax divides integers by floats
def test_composes_with_optax(tail):
    tx = optax.chain(zojax.spsa(1e-2, key=0, num_queries=4), optax.clip_by_global_norm(10.0), tail)

    @jax.jit
    def step(x, state):
        updates, state = tx.update(None, state, x, value_fn=quadratic)
        return optax.apply_updates(x, updates), state

    x, state = X, tx.init(X)
    for _ in range(120):
        x, state = step(x, state)
    assert quadratic(x) < 0.5 * quadratic(X)
    assert step._cache_size() == 1


@pytest.mark.usefixtures("standard_promotion")
def test_composes_with_wrappers_and_schedules():
    schedule = optax.linear_schedule(1e-2, 1e-3, 10)
    decayed = zojax.mezo(
        schedule, eps=schedule, key=0, weight_decay=0.1, mask={"a": True, "b": False}
    )
    params = {"a": X, "b": X}
    state = decayed.init(params)
    updates, _ = decayed.update(None, state, params, value_fn=lambda p: jnp.sum(p["a"]) * 0.0)
    np.testing.assert_allclose(updates["a"], -1e-2 * 0.1 * X, rtol=1e-6)
    np.testing.assert_array_equal(updates["b"], jnp.zeros(3))

    injected = optax.inject_hyperparams(zojax.mezo, static_args=("key", "num_queries"))(
        learning_rate=1e-2, eps=schedule, key=jax.random.key(0)
    )
    state = injected.init(X)
    _, state = jax.jit(lambda s: injected.update(None, s, X, value_fn=quadratic))(state)
    np.testing.assert_allclose(state.hyperparams["eps"], 1e-2)

    # It looks at the updates that come in, and the estimator's are finite whatever the loss is.
    guarded = optax.chain(zojax.spsa(1e-2, key=0), optax.apply_if_finite(optax.sgd(1e-2), 3))
    state = guarded.init(X)
    updates, state = guarded.update(None, state, X, value_fn=lambda x: jnp.sum(x) * jnp.nan)
    np.testing.assert_array_equal(updates, jnp.zeros(3))
    assert int(state[0].skipped) == 1
    assert int(state[1].total_notfinite) == 0


def test_the_centred_difference_is_unbiased_and_spares_the_pass_at_the_middle():
    """Against the mean of its own queries, times q/(q − 1)."""
    hessian, x = jnp.array([1.0, 4.0, 9.0]), jnp.array([1.0, -2.0, 0.5])
    calls = []

    def value_fn(v):
        return 0.5 * jnp.sum(hessian * v * v)

    def counted(v):
        calls.append(1)
        return value_fn(v)

    tx = zojax.spsa(1e-2, key=0, num_queries=4, difference="centred", evaluation="in_place")
    recorder = zojax.trajectory.Recorder()
    _, state = tx.update(None, tx.init(x), x, value_fn=counted, meter=recorder)
    assert len(calls) == 4
    draws = draws_at(zojax.Gaussian(), jax.random.key(0), jnp.int32(0), 4, x)
    losses = np.array([value_fn(x + 1e-2 * draws.query(i)[0].draw((3,))) for i in range(4)])
    expected = (losses - losses.mean()) / 1e-2 * 4 / 3
    np.testing.assert_allclose(recorder.scalars, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(state.value, losses.mean(), rtol=1e-6)

    tx = zojax.spsa(1e-2, key=0, num_queries=4, difference="centred")
    state = tx.init(x)

    def draw(count):
        return tx.update(None, state._replace(count=count), x, value_fn=value_fn)[0]

    found = np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(20_000)), np.float64)
    z_score = (found.mean(0) - hessian * x) / (found.std(0) / np.sqrt(len(found)))
    np.testing.assert_array_less(np.abs(z_score), 4.5)


def test_a_centred_query_without_a_loss_is_left_out_of_the_mean():
    calls = []

    def value_fn(v):
        calls.append(1)
        return jnp.sum(v) + (np.nan if len(calls) == 2 else 0.0)

    x = jnp.arange(3.0)
    tx = zojax.spsa(1e-2, key=0, num_queries=3, difference="centred", evaluation="in_place")
    recorder = zojax.trajectory.Recorder()
    _, state = tx.update(None, tx.init(x), x, value_fn=value_fn, meter=recorder)
    assert np.isnan(recorder.scalars).tolist() == [False, True, False]
    assert int(state.skipped) == 1
    # Of the two that are left each is as far from their mean as the other.
    np.testing.assert_allclose(recorder.scalars[0], -recorder.scalars[2], rtol=1e-3)
    with pytest.raises(ValueError, match="num_queries must be >= 2 for difference"):
        zojax.spsa(1e-2, key=0, difference="centred")

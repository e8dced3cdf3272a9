"""ZO-AdaMU against its formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at
from quick_compile import quick_jit
from sets import slow_except

import zojax
from zojax.trajectory import Recorder

PHASES = (3, 9, 12)
SHAPE = (6, 5)


def value_fn(p):
    return jnp.sum(jnp.cos(p["w"]) * jnp.arange(1.0, 6.0)[None]) + jnp.sum(p["b"] ** 2)


def oracle_value(p):
    """``value_fn`` in float64 NumPy."""
    return np.sum(np.cos(p["w"]) * np.arange(1.0, 6.0)[None]) + np.sum(p["b"] ** 2)


def params():
    key = jax.random.key(2)
    return {"b": jnp.ones(4), "w": jax.random.normal(key, SHAPE)}


def run(tx, steps):
    """The parameters, the state and the slopes after each step."""

    @quick_jit
    def step(p, state):
        recorder = Recorder()
        updates, state = tx.update(None, state, p, value_fn=value_fn, meter=recorder)
        return optax.apply_updates(p, updates), state, recorder.scalars

    p = params()
    state = tx.init(p)
    history = []
    for _ in range(steps):
        p, state, slopes = step(p, state)
        history.append((p, state, slopes))
    return history


def drawn(count, queries):
    """z of a step's queries, float64."""
    draws = draws_at(zojax.Gaussian(), jax.random.key(5), jnp.int32(count), queries, params())
    return [
        {
            n: np.asarray(x.draw(params()[n].shape), np.float64)
            for n, x in zip("bw", draws.query(query), strict=True)
        }
        for query in range(queries)
    ]


@pytest.mark.parametrize(
    ("anneal", "signed", "queries"),
    slow_except(
        {
            f"{anneal}-{signed}-{queries}": (anneal, signed, queries)
            for anneal in ("figure", "equation")
            for signed in (True, False)
            for queries in (1, 3)
        },
        *("figure-True-1", "figure-False-3", "equation-True-3"),
        marks=pytest.mark.quick,
    ),
)
def test_follows_the_formulas(signed, anneal, queries):
    """A float64 NumPy version, fed the same draws, slope by slope."""
    rate, eps = 1e-2, 1e-2
    tx = zojax.zo_adamu(
        rate,
        eps=eps,
        key=5,
        phases=PHASES,
        anneal=anneal,
        signed_momentum=signed,
        num_queries=queries,
    )
    schedules = zojax.directions.adamu_schedules(PHASES, anneal)
    history = jax.tree.map(lambda x: np.zeros(x.shape), params())
    theta = jax.tree.map(lambda x: np.asarray(x, np.float64), params())
    for count, (after, state, measured) in enumerate(run(tx, 12)):
        noise = drawn(count, queries)
        # ξ̈ is drawn behind the directions of the last step.
        fresh = drawn(count - 1, queries + 1)[-1]
        alpha, beta1, beta2 = (float(schedule(count)) for schedule in schedules)
        centre = {n: history[n] + np.sqrt(1 - alpha) * fresh[n] for n in "bw"}
        values, slopes, probed = [], [], []
        update = dict.fromkeys("bw", 0.0)
        for query in range(queries):
            zero = {n: np.sqrt(alpha) * noise[query][n] for n in "bw"}
            m = {n: beta1 * zero[n] + (1 - beta1) * centre[n] for n in "bw"}
            # Equation 5; the float32 losses round to some 1e-6, which eps divides.
            plus, minus = (
                oracle_value({n: theta[n] + sign * eps * m[n] for n in "bw"}) for sign in (1, -1)
            )
            values += [plus, minus]
            slopes.append((plus - minus) / (2 * eps))
            probed.append(m)
            for n in "bw":
                v = beta2 * zero[n] ** 2 + (1 - beta2) * centre[n] ** 2
                update[n] += rate * float(measured[query]) * m[n] / np.sqrt(v + 1e-8) / queries
        np.testing.assert_allclose(measured, slopes, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(state[0].value, np.mean(values), rtol=1e-6)
        for n in "bw":
            np.testing.assert_allclose(after[n], theta[n] - update[n], rtol=2e-4, atol=2e-5)
            signs = np.sign(slopes) if signed else np.ones(queries)
            history[n] = np.mean([s * m[n] for s, m in zip(signs, probed, strict=True)], axis=0)
            # The next step starts from the float32 parameters, so that roundings do not add up.
            theta[n] = np.asarray(after[n], np.float64)


def test_probes_both_sides_of_the_direction_that_it_applies():
    seen = []

    def sign_of_one_element(p):
        jax.debug.callback(seen.append, p["w"], ordered=True)
        return jnp.sign(p["w"][0, 0])

    def alpha(count):
        return jnp.where(count < 4, 0.5, 1.0)

    zeros = jax.tree.map(jnp.zeros_like, params())
    centred = zojax.MomentumCentred(phases=PHASES, alpha=alpha, beta1=0.3, beta2=0.2)
    tx = zojax.spsa(1.0, key=5, direction=centred)
    update = jax.jit(lambda s: tx.update(None, s, zeros, value_fn=sign_of_one_element))
    state = tx.init(zeros)
    for count in range(4):
        seen.clear()
        gradient, state = update(state)
        jax.effects_barrier()
        plus, minus = seen
        np.testing.assert_array_equal(plus, -minus)
        slope, centre = np.sign(plus[0, 0]), np.asarray(state.direction.centre["w"])
        draws = draws_at(zojax.Gaussian(), jax.random.key(5), jnp.int32(count), 1, zeros)
        zero = np.sqrt(0.5) * np.asarray(draws.query(0)[1].draw(SHAPE))
        variance = 0.2 * zero**2 + 0.8 * centre**2
        expected = slope * plus / np.sqrt(variance + 1e-8)
        np.testing.assert_allclose(gradient["w"], expected, rtol=1e-5)
    # What the next step is centred on is the direction probed, to the bit, with the slope's sign,
    # when α = 1 adds no noise to it.
    _, later = update(state)
    np.testing.assert_array_equal(later.direction.centre["w"], slope * plus)


@pytest.mark.quick
@pytest.mark.parametrize("base", [zojax.Gaussian(), zojax.LowRank(2), zojax.Sparse(0.5, "equal")])
def test_the_history_is_the_direction_probed(base):
    """Whatever draws it: the next step draws it again."""
    seen = []
    centred = zojax.MomentumCentred(phases=PHASES, alpha=1.0, beta1=0.5, base=base)
    tx = zojax.spsa(1.0, key=5, direction=centred, evaluation="in_place")
    zeros = jax.tree.map(jnp.zeros_like, params())

    def loss(p):
        seen.append(np.array(p["w"]))  # a copy of the buffer that the next point is written to
        return jnp.sum(p["w"])

    state = tx.init(zeros)
    for _ in range(2):
        _, state = tx.update(None, state, zeros, value_fn=loss)
    plus = seen[0]  # of the first step
    centre = state.direction.centre["w"]
    np.testing.assert_allclose(centre, np.sign(np.sum(plus)) * plus, rtol=1e-6)


def test_a_query_without_a_usable_slope_is_no_history():
    """Of three queries the mean is over the two that told something."""
    calls = []

    def second_is_bad(p):
        calls.append(1)
        return value_fn(p) + (np.nan if len(calls) == 3 else 0.0)

    centred = zojax.MomentumCentred(phases=PHASES, alpha=1.0, beta1=1.0, signed_momentum=False)
    tx = zojax.spsa(1e-2, key=5, num_queries=3, direction=centred, evaluation="in_place")
    p = params()
    _, state = tx.update(None, tx.init(p), p, value_fn=second_is_bad)
    assert state.direction.signs.tolist() == [1.0, 0.0, 1.0]
    _, state = tx.update(None, state, p, value_fn=value_fn)
    draws = draws_at(zojax.Gaussian(), jax.random.key(5), jnp.int32(0), 3, p)
    first, third = (np.asarray(draws.query(query)[1].draw(SHAPE)) for query in (0, 2))
    np.testing.assert_allclose(
        state.direction.centre["w"], (first + third) / 2, rtol=1e-5, atol=1e-6
    )


def test_first_phase_steps_by_signs():
    tx = zojax.spsa(1e-2, key=5, direction=zojax.MomentumCentred(phases=PHASES))
    recorder = Recorder()
    gradient, _ = tx.update(None, tx.init(params()), params(), value_fn=value_fn, meter=recorder)
    np.testing.assert_allclose(np.abs(gradient["w"]), np.abs(recorder.scalars[0]), rtol=1e-3)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("anneal", "name", "values"),
    [
        # at T1, the midpoint of T1 and T2, T2 and T3 of the paper's phases
        ("figure", "alpha", (1.0, 0.75, 0.5, 0.5)),
        ("figure", "beta1", (1.0, 0.55, 0.1, 0.1)),
        ("figure", "beta2", (1.0, 0.505, 0.01, 0.01)),
        ("equation", "alpha", None),
        ("equation", "beta1", None),
        ("equation", "beta2", None),
    ],
)
def test_anneals_as_published(anneal, name, values):
    first, second, last = phases = (1024, 16000, 20000)
    if values is None:
        phi = {"alpha": 1.0, "beta1": 0.1, "beta2": 1.5}[name]
        values = [
            0.5 + 0.5 * np.cos(np.pi * s / (last - phi * s * (last - second) / (second - first)))
            for s in (0, (second - first) / 2, second - first, second - first)
        ]
        at_second = {"alpha": 0.01, "beta1": 0.13, "beta2": 0.01}[name]
        np.testing.assert_allclose(values[2], at_second, atol=0.02)
    schedule = getattr(zojax.directions.adamu_schedules(phases, anneal), name)
    steps = (first, (first + second) // 2, second, last)
    np.testing.assert_allclose([schedule(s) for s in steps], values, atol=2e-4)
    assert float(schedule(0)) == 1.0


def test_the_papers_phases_in_proportion_to_a_length():
    """In README's loop of 1,000 steps the paper's own phases would hardly begin."""
    paper, schedules = (
        zojax.directions.adamu_schedules(),
        zojax.directions.adamu_schedules(num_steps=1000),
    )
    for ours, theirs in zip(schedules, paper, strict=True):
        # T₁ is 51.2 steps.
        steps = jnp.array([0, 51, 300, 800, 1000])
        np.testing.assert_allclose(ours(steps), theirs(20 * steps), atol=1e-3)
        assert float(ours(800)) == float(ours(1000)) < float(ours(799))
    tx = zojax.zo_adamu(1e-2, eps=1e-2, key=5, num_steps=10)
    weights = np.array([state[0].direction.weights for _, state, _ in run(tx, 11)])
    alphas = (weights[:, 0] / (1.0 - weights[:, 1])) ** 2
    assert alphas[0] == 1.0
    np.testing.assert_allclose(alphas[-1], 0.5, rtol=1e-6)
    assert (np.diff(alphas) <= 1e-6).all()


@pytest.mark.parametrize("anneal", ["figure", "equation"])
@pytest.mark.parametrize("num_steps", range(1, 21))
def test_a_length_may_be_short(num_steps, anneal):
    for name, schedule in (
        zojax.directions.adamu_schedules(anneal=anneal, num_steps=num_steps)._asdict().items()
    ):
        # Of one shape whatever the length is, for each shape would be compiled.
        values = schedule(jnp.minimum(jnp.arange(21), num_steps))
        assert float(values[0]) == 1.0
        assert bool(jnp.all((values >= 0) & (values <= 1))), name
        assert float(values[-1]) <= 0.5, name


def test_a_length_and_phases_exclude_each_other():
    message = r"^zo_adamu: phases must not be given .* num_steps.* got \(1, 2, 3\) and 10"
    with pytest.raises(ValueError, match=message):
        zojax.zo_adamu(1e-3, eps=1e-3, key=0, phases=(1, 2, 3), num_steps=10)


def in_floats(phases, rate):
    """Equation 7 in float64: the denominator at T2, and the weight there."""
    first, second, last = phases
    denominator = last - rate * (last - second)
    with np.errstate(divide="ignore", invalid="ignore"):
        return denominator, 0.5 + 0.5 * np.cos(np.pi * np.float64(second - first) / denominator)


@pytest.mark.parametrize(
    "phases",
    [(0, 1, 3), (0, 100, 300), (10, 100, 301), (0, 10, 1000), (0, 10, 29), (0, 9, 16), (4, 16, 33)],
)
def test_phases_that_the_equation_cannot_anneal_are_refused(phases):
    """From T3 = 3 T2 on it divides by zero: β₂ was NaN from then on."""
    denominator, end = in_floats(phases, 1.5)
    assert denominator <= 0 or end > 0.5 or phases[1] - phases[0] > 1.5 * denominator
    message = r"^adamu_schedules: phases must satisfy 4 T1 \+ 5 T2 >= 3 T3 for .* beta2 .*figure"
    with pytest.raises(ValueError, match=message):
        zojax.directions.adamu_schedules(phases, "equation")
    with pytest.raises(ValueError, match=r"^zo_adamu: phases must satisfy"):
        zojax.zo_adamu(1e-3, eps=1e-3, key=0, phases=phases, anneal="equation")
    zojax.directions.adamu_schedules(phases, "figure")


@pytest.mark.parametrize(
    "phases", [(0, 9, 15), (4, 16, 32), (0, 1, 1), (1024, 16000, 20000), (5, 6, 16), (0, 30, 50)]
)
def test_phases_that_the_equation_can_anneal_give_finite_weights(phases):
    first, second, last = phases
    for rate, schedule in zip(
        (1.0, 0.1, 1.5), zojax.directions.adamu_schedules(phases, "equation"), strict=True
    ):
        denominator, end = in_floats(phases, rate)
        assert denominator > 0
        values = schedule(jnp.arange(first, last + 1))
        assert bool(jnp.isfinite(values).all())
        np.testing.assert_allclose(values[-1], end, atol=1e-5)
        assert second - first <= 1.5 * denominator
        assert float(values[second - first]) == float(values[-1])


@pytest.mark.quick
def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="0 <= T1 < T2 <= T3"):
        zojax.zo_adamu(1e-3, eps=1e-3, key=0, phases=(5, 4, 9))
    with pytest.raises(ValueError, match=r"zo_adamu: alpha must be within \[0, 1\], got 2\.0"):
        zojax.zo_adamu(1e-3, eps=1e-3, key=0, alpha=2.0)
    with pytest.raises(ValueError, match="anneal must be one of"):
        zojax.directions.adamu_schedules(anneal="text")

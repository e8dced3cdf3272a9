"""The ablation of ZO-AdaMU's Table 3: one rule on the direction, or on the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from draws import draws_at
from quick_compile import quick_jit
from sets import slow_except

import zojax

EPS, RATE, STEPS = 1e-1, 1e-2, 20
B1, B2, TINY = 0.9, 0.999, 1e-8


def adam(z, memory, t, centre):
    memory["m"] = m = B1 * centre + (1 - B1) * z
    memory["v"] = v = B2 * memory.get("v", 0.0) + (1 - B2) * z**2
    return m / (1 - B1 ** (t + 1)) / (np.sqrt(v / (1 - B2 ** (t + 1))) + TINY)


def adamax(z, memory, t, centre):
    memory["m"] = m = B1 * centre + (1 - B1) * z
    memory["v"] = v = np.maximum(np.abs(z) + TINY, B2 * memory.get("v", 0.0))
    return m / (1 - B1 ** (t + 1)) / v


def rms(z, memory, t, centre):
    memory["v"] = v = B1 * memory.get("v", 0.0) + (1 - B1) * z**2
    return z / np.sqrt(v + TINY)


def adamm(z, memory, t, centre):
    memory["m"] = m = B1 * centre + (1 - B1) * z
    memory["v"] = v = B2 * memory.get("v", 0.0) + (1 - B2) * z**2
    memory["max"] = np.maximum(memory.get("max", 0.0), v)
    return m / (np.sqrt(memory["max"]) + TINY)


RULES = {
    "adam": (optax.scale_by_adam(), adam),
    "adamax": (optax.scale_by_adamax(), adamax),
    "rmsprop": (optax.scale_by_rms(), rms),
    "adamm": (
        optax.scale_by_amsgrad(bias_correction_mu=False, bias_correction_nu=False),
        adamm,
    ),
}


def value_fn(p):
    return jnp.sum(jnp.cos(p["w"]) * jnp.arange(1.0, 4.0)[None]) + jnp.sum(p["b"] ** 2)


def oracle_value(p):
    return np.sum(np.cos(p["w"]) * np.arange(1.0, 4.0)[None]) + np.sum(p["b"] ** 2)


def start():
    return {"b": jnp.array([1.0, -0.5]), "w": jax.random.normal(jax.random.key(2), (4, 3))}


@pytest.mark.parametrize(
    ("name", "signed"),
    slow_except(
        {f"{name}-{signed}": (name, signed) for name in RULES for signed in (True, False)},
        *(f"{name}-True" for name in RULES),
        "adam-False",
    ),
)
def test_follows_the_formulas(name, signed):
    """NumPy in float64, fed the same draws."""
    rule, oracle = RULES[name]
    tx = optax.chain(
        zojax.spsa(EPS, key=5, direction=zojax.Shaped(rule, signed)), optax.scale(-RATE)
    )
    params, state = start(), tx.init(start())
    memory = {n: {} for n in params}
    step = quick_jit(lambda p, s: tx.update(None, s, p, value_fn=value_fn))
    for count in range(STEPS):
        draws = draws_at(zojax.Gaussian(), jax.random.key(5), jnp.int32(count), 1, params)
        theta = {n: np.asarray(x, np.float64) for n, x in params.items()}
        d = {}
        for n, noise in zip("bw", draws.query(0), strict=True):
            z = np.asarray(noise.draw(theta[n].shape), np.float64)
            d[n] = oracle(z, memory[n], count, memory[n].get("m", 0.0))
        losses = [oracle_value({n: theta[n] + sign * EPS * d[n] for n in d}) for sign in (1, -1)]
        slope = (losses[0] - losses[1]) / (2 * EPS)
        updates, state = step(params, state)
        np.testing.assert_allclose(state[0].value, np.mean(losses), rtol=1e-5)
        for n, direction in d.items():
            # The float32 losses are good to 1e-6, which eps divides.
            expected = -RATE * slope * direction
            np.testing.assert_allclose(updates[n], expected, rtol=1e-4, atol=1e-4 * RATE)
            if signed and "m" in memory[n]:
                memory[n]["m"] = (-1.0 if slope < 0 else 1.0) * memory[n]["m"]
        params = optax.apply_updates(params, updates)


@pytest.mark.parametrize("evaluation", ["streamed", "copy", "in_place"])
def test_probes_what_it_applies(evaluation):
    tx = zojax.spsa(
        1.0, key=5, direction=zojax.Shaped(optax.scale_by_adam()), evaluation=evaluation
    )
    zeros = jax.tree.map(jnp.zeros_like, start())
    seen = []

    def sign_of_one_element(p):
        jax.debug.callback(lambda w: seen.append(np.array(w)), p["w"], ordered=True)
        return jnp.sign(p["w"][0, 0])

    state = tx.init(zeros)
    for _ in range(3):
        seen.clear()
        gradient, state = tx.update(None, state, zeros, value_fn=sign_of_one_element)
        jax.effects_barrier()
        plus, minus = seen
        np.testing.assert_array_equal(plus, -minus)
        np.testing.assert_array_equal(gradient["w"], np.sign(plus[0, 0]) * plus)


@pytest.mark.parametrize("name", slow_except(RULES.keys(), "adam", "rmsprop"))
def test_the_same_rule_on_either_side_lowers_the_loss(name):
    rule, _ = RULES[name]
    sides = {
        "delta": optax.chain(
            zojax.spsa(EPS, key=1, direction=zojax.Shaped(rule)), optax.scale(-3e-3)
        ),
        "gradient": optax.chain(zojax.spsa(EPS, key=1), rule, optax.scale(-3e-3)),
    }
    with jax.numpy_dtype_promotion("standard"):
        for side, tx in sides.items():
            p, state = start(), tx.init(start())
            step = quick_jit(lambda p, s, tx=tx: tx.update(None, s, p, value_fn=value_fn))
            for _ in range(150):
                updates, state = step(p, state)
                p = optax.apply_updates(p, updates)
            assert value_fn(p) < value_fn(start()), side


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match=r"Shaped: rule must be .* Call it"):
        zojax.Shaped(optax.scale_by_adam)
    with pytest.raises(ValueError, match="Shaped: base must not depend on earlier steps"):
        zojax.Shaped(optax.scale_by_adam(), base=zojax.MomentumCentred())
    tx = zojax.spsa(1e-2, key=0, num_queries=2, direction=zojax.Shaped(optax.scale_by_adam()))
    with pytest.raises(ValueError, match="Shaped: num_queries must be 1, got 2"):
        tx.init(start())


@pytest.mark.parametrize(
    "rule",
    [
        optax.adam(1e-3),
        optax.adam(optax.linear_schedule(0.0, 1e-3, 10)),
        optax.sgd(1e-3, momentum=0.9),
        optax.chain(optax.scale_by_adam(), optax.scale(-1.0)),
    ],
)
@pytest.mark.parametrize("jit", [False, True])
def test_a_rule_with_a_learning_rate_is_refused(rule, jit):
    """Its sign would turn the momentum downhill, and its size would shrink eps."""
    tx = zojax.spsa(1e-2, key=0, direction=zojax.Shaped(rule))
    with pytest.raises(ValueError, match="Shaped: rule must keep z's sign"):
        (jax.jit(tx.init) if jit else tx.init)(start())


@pytest.mark.parametrize(
    "rule",
    [
        optax.trace(0.9),
        optax.centralize(),
        optax.clip(0.5),
        optax.masked(optax.scale_by_adam(), {"b": False, "w": True}),
        optax.scale_by_lion(),
        optax.chain(optax.scale_by_rms(), optax.scale(0.5)),
    ],
)
def test_a_rule_without_a_learning_rate_is_taken(rule):
    tx = zojax.spsa(1e-2, key=0, direction=zojax.Shaped(rule))
    updates, _ = tx.update(None, tx.init(start()), start(), value_fn=value_fn)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(updates))

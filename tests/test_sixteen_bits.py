"""Small updates of 16-bit parameters land: by chance, or with what rounding took."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick_compile import quick_jit

import zojax
from zojax._sixteen_bits import by_chance, spacing

DTYPES = ("bfloat16", "float16")
LINKS = {
    "stochastic": lambda: zojax.stochastic_rounding(key=3),
    "compensated": zojax.compensated,
}

pytestmark = pytest.mark.usefixtures("standard_promotion")


def weights(dtype: Any, shape: tuple[int, ...] = (256, 256)) -> dict[str, jax.Array]:
    w = 0.02 * jax.random.normal(jax.random.key(0), shape)
    return {"w": w.astype(dtype), "b": jnp.zeros(7, dtype), "wide": jnp.zeros(3)}


def constant_updates(link: Any, params: Any, size: float, steps: int) -> tuple[Any, Any]:
    """The parameters, and the link's state, after ``steps`` times the same update."""

    def step(_: Any, carried: tuple[Any, Any]) -> tuple[Any, Any]:
        params, state = carried
        updates = jax.tree.map(lambda p: jnp.full(p.shape, size, jnp.float32), params)
        updates, state = link.update(updates, state, params)
        return optax.apply_updates(params, updates), state

    return quick_jit(lambda carried: jax.lax.fori_loop(0, steps, step, carried))(
        (params, link.init(params))
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LINKS)
@pytest.mark.quick
def test_a_constant_update_of_a_millionth_ends_where_float32_does(name: str, dtype: str):
    params = weights(dtype)
    moved, state = constant_updates(LINKS[name](), params, 1e-6, 1000)
    end = np.float64(moved["w"])
    if name == "compensated":  # the parameter is the nearest number to it and its remainder
        parts = np.float64(state.remainder["w"]) / 2**16
        remainder = parts * spacing(moved["w"].astype(jnp.float32), jnp.dtype(dtype))
        assert np.all(np.abs(parts) <= 0.5)
        end = end + remainder
    assert np.mean(end - np.float64(params["w"])) == pytest.approx(1e-3, rel=0.005)
    assert moved["w"].dtype == dtype
    assert np.allclose(moved["wide"], 1e-3)
    # To the nearest number, nearly nothing lands in bfloat16.
    plain, _ = constant_updates(optax.identity(), params, 1e-6, 1000)
    lost = np.mean(np.float64(plain["w"]) - np.float64(params["w"]))
    assert dtype == "float16" or lost < 0.1 * 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_compensated_parameters_are_float32_ones_rounded(dtype: str):
    """Over many random updates: θ is float32's θ to the nearest number, element by element."""
    link, params = zojax.compensated(), weights(dtype, (64, 64))
    master, state = params["w"].astype(jnp.float32), link.init(params)
    step = quick_jit(link.update)
    for seed in range(50):
        update = 1e-5 * jax.random.normal(jax.random.key(seed), master.shape)
        updates, state = step({**params, "w": update, "b": params["b"]}, state, params)
        params = optax.apply_updates(params, {**updates, "b": params["b"] * 0})
        master = master + update
    nearest = np.asarray(master.astype(dtype), np.float32)
    equal = np.asarray(params["w"], np.float32) == nearest
    # float16 keeps 13 bits less a spacing than its 16 bits of remainder and 11 have together.
    assert equal.mean() >= (1.0 if dtype == "bfloat16" else 0.999)
    assert state.remainder["w"].dtype == jnp.int16
    assert state.remainder["wide"].shape == ()


@pytest.mark.parametrize("dtype", DTYPES)
def test_chances_are_those_of_the_distances(dtype: str):
    """Each of 2¹³ places between two neighbours is rounded up in its share of all chances."""
    bits = 23 - int(jnp.finfo(dtype).nmant)
    low = jnp.float32(0.75)
    step = float(spacing(low, jnp.dtype(dtype)))
    chances = (jnp.arange(2**bits) / 2**bits)[:, None]
    shares = jnp.array([0.0, 1 / 2**bits, 0.25, 0.5, 1 - 1 / 2**bits])
    for sign in (1, -1):
        x = sign * (low + shares * step)
        rounded = by_chance(jnp.broadcast_to(x, (2**bits, 5)), jnp.dtype(dtype), chances)
        assert set(np.unique(np.abs(rounded))) <= {0.75, np.float32(0.75 + step)}
        mean = np.mean(np.float64(rounded), axis=0)
        np.testing.assert_array_equal(mean, np.float64(x))
        # A number of the dtype stays, whatever the chance.
        assert by_chance(sign * low, jnp.dtype(dtype), jnp.float32(1 - 2.0**-24)) == sign * 0.75


@pytest.mark.parametrize("dtype", DTYPES)
def test_spacings_are_those_of_the_dtype(dtype: str):
    info = jnp.finfo(dtype)
    values = np.array([1.0, -1.5, 1.999, 2.0, 0.02, 300.0, float(info.smallest_normal)], np.float32)
    values = np.asarray(jnp.asarray(values).astype(dtype), np.float32)
    up = np.asarray(jnp.nextafter(jnp.abs(jnp.asarray(values, dtype)), jnp.asarray(jnp.inf, dtype)))
    expected = up.astype(np.float32) - np.abs(values)
    if dtype == "bfloat16":
        expected[-1] = 2.0**-126  # finer spacings would be flushed to 0
    np.testing.assert_array_equal(spacing(jnp.asarray(values), jnp.dtype(dtype)), expected)


@pytest.mark.parametrize("name", LINKS)
def test_what_is_not_finite_and_what_is_0_stays(name: str):
    params = {"w": jnp.array([0.0, 1.0, jnp.inf, -jnp.inf, 3e38], jnp.bfloat16)}
    link = LINKS[name]()
    zero = {"w": jnp.zeros(5)}
    updates, state = link.update(zero, link.init(params), params)
    assert np.array_equal(optax.apply_updates(params, updates)["w"][:2], params["w"][:2])
    updates, _ = link.update({"w": jnp.array([jnp.nan, 1e-3, 1.0, 1.0, 3e38])}, state, params)
    after = np.asarray(optax.apply_updates(params, updates)["w"], np.float32)
    assert np.isnan(after[0])
    assert np.isfinite(after[1])


def loss(params: Any) -> jax.Array:
    return jnp.sum(params["w"].astype(jnp.float32) ** 2)


def mezo(link: Any, key: int = 0) -> Any:
    return zojax.chain(zojax.spsa(1e-2, key=key), optax.scale_by_learning_rate(1e-5), link)


@pytest.mark.parametrize("name", LINKS)
def test_in_a_chain_the_same_key_gives_the_same_bits_and_another_step_others(name: str):
    params = weights("bfloat16", (32, 32))
    tx = mezo(LINKS[name]())

    def run(steps: int) -> Any:
        now, state = params, tx.init(params)
        step = quick_jit(lambda s, p: tx.update(None, s, p, value_fn=loss))
        for _ in range(steps):
            updates, state = step(state, now)
            now = optax.apply_updates(now, updates)
        return now

    once, again = run(3), run(3)
    assert all(map(np.array_equal, jax.tree.leaves(once), jax.tree.leaves(again)))
    assert not np.array_equal(once["w"], run(2)["w"])


def test_chances_differ_by_step_leaf_and_stream():
    params = {"a": jnp.ones((64, 64), jnp.bfloat16), "b": jnp.ones((64, 64), jnp.bfloat16)}
    link = zojax.stochastic_rounding(key=0)
    half = jax.tree.map(lambda p: jnp.full(p.shape, 2.0**-8), params)
    first, state = link.update(half, link.init(params), params)
    second, _ = link.update(half, state, params)
    ups = [np.asarray(x) > 0 for x in (first["a"], first["b"], second["a"])]
    for i in range(3):
        assert 0.45 < ups[i].mean() < 0.55
        assert 0.45 < (ups[i] == ups[i - 1]).mean() < 0.55
    # Nor are they those of a direction of the same key.
    z = zojax.Rademacher().at_step((), jax.random.key(0), jnp.int32(0), 1, params)[0].query(0)
    assert 0.45 < (ups[0] == (np.asarray(z[0].draw((64, 64))) > 0)).mean() < 0.55


@pytest.mark.parametrize("name", LINKS)
def test_a_step_that_rests_leaves_parameters_and_remainder(name: str):
    params, tx = weights("bfloat16", (8, 8)), mezo(LINKS[name]())
    state = tx.init(params)
    updates, after = tx.update(None, state, params, value_fn=lambda p: jnp.float32(jnp.nan))
    moved = optax.apply_updates(params, updates)
    assert all(map(np.array_equal, jax.tree.leaves(moved), jax.tree.leaves(params)))
    if name == "compensated":
        assert np.array_equal(after[-1].remainder["w"], state[-1].remainder["w"])


@pytest.mark.parametrize("name", LINKS)
def test_parameters_that_stay_and_integers_are_left_alone(name: str):
    params = {"w": jnp.ones(4, jnp.bfloat16), "i": jnp.arange(3), "v": jnp.ones(4, jnp.bfloat16)}
    tx = zojax.select(mezo(LINKS[name]()), "w")
    state = tx.init(params)
    updates, _ = tx.update(None, state, params, value_fn=loss)
    moved = optax.apply_updates(params, updates)
    assert np.array_equal(moved["i"], params["i"])
    assert np.array_equal(moved["v"], params["v"])


@pytest.mark.parametrize("name", LINKS)
def test_params_are_needed(name: str):
    link = LINKS[name]()
    with pytest.raises(ValueError, match="params are needed: give them to update"):
        link.update({"w": jnp.ones(2)}, link.init({"w": jnp.ones(2, jnp.bfloat16)}))

"""Every form of key that JAX users have gives the same draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax

PARAMS = jnp.array([1.0, -2.0, 3.0])


def loss(p):
    return jnp.sum(p * p)


def update(key):
    tx = zojax.mezo(1e-2, eps=1e-2, key=key)
    return tx.update(None, tx.init(PARAMS), PARAMS, value_fn=loss)[0]


FORMS = {
    "typed": lambda: jax.random.key(7),
    "legacy": lambda: jax.random.PRNGKey(7),
    "legacy, from a file": lambda: np.asarray(jax.random.PRNGKey(7)),
    "seed": lambda: 7,
    "seed of numpy": lambda: np.int64(7),
    "seed of jax": lambda: jnp.int32(7),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_of_any_form(form):
    np.testing.assert_array_equal(update(form()), update(7))
    assert not np.array_equal(update(form()), update(8))


@pytest.mark.parametrize("name", ["typed", "legacy", "seed of jax"])
def test_a_traced_key_of_any_form(name):
    np.testing.assert_allclose(jax.jit(update)(FORMS[name]()), update(7), rtol=1e-5)
    keys = jnp.stack([FORMS[name](), FORMS[name]()])
    rows = jax.vmap(update)(keys)
    np.testing.assert_allclose(rows, jnp.stack([update(7)] * 2), rtol=1e-5)


def test_a_factory_may_be_called_while_jit_traces():
    key = jax.random.PRNGKey(7)
    closed_over = jax.jit(lambda p: zojax.mezo(1e-2, eps=1e-2, key=key).init(p)[0].key)(PARAMS)
    assert closed_over == jax.random.key(7)


def test_a_donated_state_does_not_take_the_key_along():
    key = jax.random.PRNGKey(7)
    tx = zojax.spsa(1e-2, key=key)
    for _ in range(2):
        state = tx.init(PARAMS)
        jax.jit(lambda s: s, donate_argnums=0)(state)
    assert not key.is_deleted()
    assert tx.init(PARAMS).key == jax.random.key(7)


def test_legacy_keys_of_another_default_generator():
    with jax.default_prng_impl("rbg"):
        made = zojax.spsa(1e-2, key=jax.random.PRNGKey(7)).init(PARAMS).key
        assert made == jax.random.key(7)
        assert str(jax.random.key_impl(made)) == "rbg"


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (jax.random.split(jax.random.key(0), 3), ValueError, r"one key, got .* shape \(3,\)"),
        (jax.random.split(jax.random.PRNGKey(0), 3), TypeError, "a typed key or an int seed"),
        (jnp.zeros(4, jnp.uint32), TypeError, "a typed key or an int seed"),
        (jnp.zeros(2, jnp.int32), TypeError, "a typed key or an int seed"),
        (jnp.float32(0.0), TypeError, "a typed key or an int seed"),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_other_arrays_are_refused(key, error, message, traced):
    def make(key):
        zojax.mezo(1e-2, eps=1e-2, key=key)
        return 0

    with pytest.raises(error, match=f"^mezo: key must be {message}"):
        (jax.jit(make) if traced else make)(key)

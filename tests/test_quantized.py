"""Trees with leaves that no optimizer can move: quantized bases in integers of few bits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizers import OPTIMIZERS
from sets import slow_except

import zojax

# Those that end in a link of optax, outside of zojax.chain: optax multiplies integers by floats.
CHAINED_BY_OPTAX = {
    "spsa, shaped", "one_point", "coordinatewise", "spsa, sparse", "spsa, centred"
}  # fmt: skip


def params_with(dtype):
    return {
        "matrix": jnp.linspace(-1.0, 1.0, 12).reshape(4, 3),
        "nested": [jnp.linspace(0.5, 1.5, 4)],
        "quantized": jnp.asarray(np.arange(16).reshape(4, 4) % 7, dtype),
    }


def value_fn(params):
    scaled = 0.1 * params["quantized"].astype(jnp.float32) * params["nested"][0][None]
    return jnp.sum((scaled @ params["matrix"]) ** 2)


def stepped(tx, params, state):
    @jax.jit
    def step(params, state):
        updates, state = tx.update(None, state, params, value_fn=value_fn)
        return optax.apply_updates(params, updates), state, updates

    return step(params, state)


def shapes(tree):
    return jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)


INSIDE = [name for name in OPTIMIZERS if name not in CHAINED_BY_OPTAX]
OFTEN = ("mezo", "zo_adam", "zo_adamu")
BY_DEFAULT = (("mezo", "int4"), ("mezo", "uint4"), ("zo_adam", "int8"), ("zo_adamu", "int4"))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=() if (name, dtype) in BY_DEFAULT else pytest.mark.slow)
        for name in INSIDE
        for dtype in (("int4", "uint4", "int8") if name in OFTEN else ("int4",))
    ],
)
def test_integers_of_few_bits_stay(name, dtype):
    tx, params = OPTIMIZERS[name](), params_with(dtype)
    state = tx.init(params)
    new, new_state, updates = stepped(tx, params, state)
    assert shapes((new, new_state)) == shapes((params, state))
    assert new["quantized"].tolist() == params["quantized"].tolist()
    moved = zojax.folded(new, new_state) if name.startswith("subspace") else new
    assert not np.array_equal(moved["matrix"], params["matrix"])
    if name != "spsa":  # whose gradient has the parameters' shapes
        assert updates["quantized"].shape == ()


def test_a_chain_with_links_of_optax_steps():
    tx = zojax.chain(
        zojax.spsa(1e-2, key=0),
        optax.clip_by_global_norm(1.0),
        optax.trace(0.9),
        optax.add_decayed_weights(0.1),
        optax.scale_by_learning_rate(1e-2),
    )
    params = params_with("int4")
    new, _, updates = stepped(tx, params, tx.init(params))
    assert updates["quantized"].dtype == jnp.int4
    assert new["quantized"].tolist() == params["quantized"].tolist()


def test_integers_have_no_moments():
    params = params_with("int8")
    state = zojax.zo_adam(1e-2, eps=1e-2, key=0).init(params)
    assert not [x for x in jax.tree.leaves(state) if getattr(x, "shape", ()) == (4, 4)]


def test_the_other_parameters_move_as_without_the_integers():
    params = params_with("int8")
    tx = zojax.zo_adam(1e-2, eps=1e-2, key=0)
    whole, _, _ = stepped(tx, params, tx.init(params))
    selected = zojax.select(tx, lambda path, leaf: path != "quantized")
    part, _, _ = stepped(selected, params, selected.init(params))
    np.testing.assert_array_equal(whole["matrix"], part["matrix"])


@pytest.mark.parametrize(
    "dtype",
    slow_except(["float8_e4m3fn", "float8_e5m2", "int8", "int4", "uint4"], "float8_e4m3fn", "int4"),
)
def test_a_frozen_base_of_few_bits_stays(dtype):
    tx = zojax.select(zojax.zo_adam(1e-2, eps=1e-2, key=0), ["matrix", "nested/*"])
    params = params_with(dtype)
    new, _, updates = stepped(tx, params, tx.init(params))
    assert updates["quantized"].shape == ()
    assert new["quantized"].dtype == params["quantized"].dtype
    as_float = (x["quantized"].astype(jnp.float32).tolist() for x in (new, params))
    assert next(as_float) == next(as_float)
    assert not np.array_equal(new["matrix"], params["matrix"])

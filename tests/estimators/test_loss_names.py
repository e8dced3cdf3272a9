"""The loss under its two names, and the error where there is none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zojax

MAKERS = {
    "spsa": lambda: zojax.spsa(1e-2, key=0),
    "one_point": lambda: zojax.one_point(1e-2, key=0),
    "coordinatewise": lambda: zojax.coordinatewise(1e-2),
    "forward_gradient": lambda: zojax.forward_gradient(key=0),
    "mezo": lambda: zojax.mezo(1e-2, eps=1e-2, key=0),
    "zo_adamu": lambda: zojax.zo_adamu(1e-2, eps=1e-2, key=0),
    "zo_adam": lambda: zojax.zo_adam(1e-2, eps=1e-2, key=0),
    "zo_sgd_blockwise": lambda: zojax.zo_sgd_blockwise(
        1e-2, eps=1e-2, key=0, blocks=lambda path, leaf: path
    ),
    "zo_sgd_conservative": lambda: zojax.zo_sgd_conservative(1e-2, eps=1e-2, key=0),
    "select": lambda: zojax.select(zojax.mezo(1e-2, eps=1e-2, key=0), "w"),
    "hybrid": lambda: zojax.hybrid(zojax.mezo(1e-2, eps=1e-2, key=0), optax.sgd(1e-2), "w"),
}
OWN = {"select": "mezo"}  # a selection passes on what its optimizer says
PARAMS = {"w": jnp.ones(3), "b": jnp.ones(2)}


def loss(params):
    return jnp.sum(params["w"] ** 2) + jnp.sum(params["b"])


@pytest.mark.parametrize("name", MAKERS)
def test_obj_fn_is_value_fn(name):
    tx = MAKERS[name]()
    one, _ = tx.update(None, tx.init(PARAMS), PARAMS, value_fn=loss)
    other, _ = tx.update(None, tx.init(PARAMS), PARAMS, obj_fn=loss)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("name", MAKERS)
def test_both_names_at_once_are_refused(name):
    tx = MAKERS[name]()
    with pytest.raises(ValueError, match=f"^{name}: obj_fn must not be given with value_fn"):
        tx.update(None, tx.init(PARAMS), PARAMS, value_fn=loss, obj_fn=loss)


@pytest.mark.parametrize("name", MAKERS)
def test_a_missing_loss_is_an_error_that_says_where_to_read(name):
    tx = MAKERS[name]()
    message = rf"^{OWN.get(name, name)}: update needs value_fn, .*docs/other_models\.md"
    with pytest.raises(TypeError, match=message):
        tx.update(None, tx.init(PARAMS), PARAMS)

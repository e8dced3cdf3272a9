"""A step outside of jit compiles its losses at every call, and that is said once."""

import itertools
import logging

import jax
import jax.numpy as jnp
import pytest

import zojax
from zojax.streaming import _losses


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    monkeypatch.setattr(_losses, "_updates", itertools.count(1))


def update(tx, params):
    return tx.update(None, tx.init(params), params, value_fn=lambda p: jnp.sum(p**2))[0]


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "zojax"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: zojax.mezo(1e-2, eps=1e-2, key=0),
        lambda: zojax.mezo(1e-2, eps=1e-2, key=0, evaluation="copy"),
        lambda: zojax.forward_gradient(key=0),
        lambda: zojax.one_point(1e-2, key=0),
    ],
    ids=["mezo", "mezo, copy", "forward_gradient", "one_point"],
)
def test_the_second_update_says_so_and_how_to_mend_it(make, caplog):
    tx, params = make(), jnp.ones((3, 3))
    update(tx, params)
    assert said(caplog) == []
    for _ in range(3):
        update(tx, params)
    [message] = said(caplog)
    assert "jax.jit around the whole step" in message
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.slow
def test_nothing_is_said_of_updates_that_compile_nothing(caplog):
    params = jnp.ones((3, 3))
    tx = zojax.mezo(1e-2, eps=1e-2, key=0)
    for _ in range(3):
        jax.jit(lambda p: update(tx, p))(params)
        # A step whose parameters are constants of it is within jit as well.
        jax.jit(lambda: update(tx, params))()
        jax.eval_shape(lambda p: update(tx, p), params)
    with jax.disable_jit():
        for _ in range(3):
            update(tx, params)
    for options in (
        {"evaluation": "in_place"},
        {"evaluation": "copy", "batched": True, "direction": zojax.LowRank()},
    ):
        for _ in range(3):
            update(zojax.mezo(1e-2, eps=1e-2, key=0, **options), params)
    assert said(caplog) == []

"""Directions in shares of the parameters: the same z, times their sizes, however it is drawn."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zojax
from zojax.directions import Relative

PARAMS = {
    "layers": {"w": jnp.linspace(-1.0, 2.0, 2 * 6 * 5).reshape(2, 6, 5)},
    "table": jnp.linspace(0.0, 3.0, 8 * 6).reshape(8, 6),
    "bias": jnp.array([0.0, -0.5, 4.0, 1.0, 1.0]),
}


def loss(params: Any) -> jax.Array:
    x = params["table"][jnp.array([1, 3])]

    def layer(x: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
        return jnp.tanh(jnp.pad(x @ w + params["bias"][None], ((0, 0), (0, 1)))), None

    return jnp.sum(jax.lax.scan(layer, x, params["layers"]["w"])[0] ** 2)


def update(**settings: Any) -> Any:
    tx = zojax.mezo(1e-2, eps=1e-2, key=0, **settings)
    return tx.update(None, tx.init(PARAMS), PARAMS, value_fn=loss)[0]


@pytest.mark.quick
def test_the_direction_is_the_base_times_the_parameters():
    """Losses are taken along it, and the update is along it: by a loss that is a sum."""
    params = jnp.array([1.0, -2.0, 30.0, 0.0])
    plain, relative = (
        zojax.spsa(1e-2, key=0, slope_rule="sign", direction=direction)
        for direction in (zojax.Gaussian(), Relative())
    )

    def taken(tx: Any) -> Any:
        return tx.update(None, tx.init(params), params, value_fn=jnp.sum)

    z, along = taken(plain)[0], taken(relative)[0]
    np.testing.assert_allclose(np.abs(along), np.abs(z * params), rtol=1e-6)
    state = taken(zojax.spsa(1e-2, key=0, direction=Relative()))[0]
    slope = jnp.sum(jnp.sign(along[0]) * jnp.sign(z[0]) * z * jnp.abs(params))
    np.testing.assert_allclose(jnp.abs(state[0]), jnp.abs(slope * z[0]), rtol=1e-3)


@pytest.mark.parametrize("queries", [1, 3])
def test_streamed_and_copied_are_alike(queries):
    streamed, copied = (
        update(direction=Relative(), num_queries=queries, evaluation=evaluation)
        for evaluation in ("streamed", "copy")
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-6), streamed, copied
    )
    assert float(jnp.abs(streamed["bias"][0])) == 0


def make() -> Any:
    return zojax.mezo(1e-2, eps=1e-2, key=0, direction=Relative("rademacher"))


def test_it_is_replayed():
    zojax.testing.check_replay(make)


@pytest.mark.slow
def test_it_keeps_its_promises():
    zojax.testing.check_optimizer(make)


def test_no_history_is_of_it():
    with pytest.raises(
        ValueError, match=r"^zo_adamu: base must not depend on the parameters' values, got R"
    ):
        zojax.zo_adamu(1e-2, eps=1e-2, key=0, phases=(0, 2, 4), direction=Relative())


def test_what_is_no_direction_is_refused():
    with pytest.raises(TypeError, match=r"^Relative: base must be"):
        Relative(base=3)  # pyright: ignore[reportArgumentType]

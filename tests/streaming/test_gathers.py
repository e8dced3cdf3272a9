"""Rows of a perturbed table are the rows of a perturbed copy, also where there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import draws_at, loss_at

import zojax
from zojax.directions._momentum_noise import MomentumNoise

ROWS = np.array([[-40, -7, -6, -5], [-1, 0, 4, 1], [5, 6, 7, 2**30]])  # of a table of 5
SHAPE = (5, 4)

GATHERS = {
    "fill": lambda t: t.at[ROWS].get(mode="fill"),
    "fill with a value": lambda t: t.at[ROWS].get(mode="fill", fill_value=3),
    "fill a vector's place": lambda t: t.at[ROWS.ravel()].get(mode="fill", fill_value=-1),
    "clip": lambda t: t.at[ROWS].get(mode="clip"),
    "promise_in_bounds": lambda t: t.at[ROWS].get(mode="promise_in_bounds"),
    "default": lambda t: t[ROWS],
    "take": lambda t: jnp.take(t, ROWS, axis=0),
    "take, fill": lambda t: jnp.take(t, ROWS, axis=0, mode="fill", fill_value=0),
    "take, wrap": lambda t: jnp.take(t, ROWS, axis=0, mode="wrap"),
}
CASTS = [[], ["bfloat16"], ["float16", "float32"], ["int32"]]


def elementwise(table):
    return draws_at(zojax.Gaussian(), jax.random.key(1), jnp.int32(5), 1, table).query(0)


def low_rank(table):
    return draws_at(zojax.LowRank(2), jax.random.key(1), jnp.int32(5), 1, table).query(0)


def momentum(table):
    centred = jnp.linspace(-2.0, 2.0, table.size).reshape(table.shape)
    half = jnp.float32(0.5)
    return [
        MomentumNoise(noise, centred, (half, half), jnp.stack([half, half]))
        for noise in elementwise(table)
    ]


def sparse(table):
    direction = zojax.Sparse(0.5, "equal")
    return draws_at(direction, jax.random.key(1), jnp.int32(5), 1, table).query(0)


def gathered(evaluation, table, noises):
    """What a loss sees of each gather from each cast of the table."""
    seen = []

    def value_fn(table):
        for casts in CASTS:
            cast = table
            for dtype in casts:
                cast = cast.astype(dtype)
            found = {f"{name} of {casts}": gather(cast) for name, gather in GATHERS.items()}
            jax.debug.callback(seen.append, found)
        return jnp.zeros(())

    loss = loss_at(value_fn, table, evaluation)
    jax.jit(lambda table: loss(noises(table), 0.5))(table)
    jax.effects_barrier()
    return {name: np.asarray(x, np.float64) for found in seen for name, x in found.items()}


@pytest.mark.quick
@pytest.mark.parametrize("noises", [elementwise, low_rank, momentum, sparse])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_are_those_of_a_copy(dtype, noises):
    table = (10.0 + jnp.arange(20.0)).reshape(SHAPE).astype(dtype)
    streamed, copied = (gathered(evaluation, table, noises) for evaluation in ("streamed", "copy"))
    assert len(copied) == len(GATHERS) * len(CASTS)
    for name, rows in copied.items():
        np.testing.assert_array_equal(streamed[name], rows, name)
